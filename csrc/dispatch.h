/* Which kernels run: the only place that knows about processors. */
#ifndef FM_DISPATCH_H
#define FM_DISPATCH_H

#include "kernels.h"

/* The table chosen by fm_init. */
const fm_kernels *fm_kernels_chosen(int dtype);

#endif
