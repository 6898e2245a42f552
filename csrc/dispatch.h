/* Which kernels run: the only place that knows about processors. */
#ifndef FM_DISPATCH_H
#define FM_DISPATCH_H

#include "kernels.h"

/* The table chosen by fm_init. */
const fm_kernels *fm_kernels_chosen(int dtype);
/* How many multiplications of vectors the processor has to be given before it waits for the first: four cycles' worth. */
int fm_chains(void);

#endif
