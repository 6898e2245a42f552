/* Steps and epochs over blocks of rows. */
#ifndef FM_TRAINING_H
#define FM_TRAINING_H

#include "crew.h"

int fm_run_pass(const fm_crew *crew, const char *params, const fm_rows *x, const fm_targets *y, fm_pass *pass);
int fm_run_training(const fm_crew *crew, char *params, const fm_rows *x, const fm_targets *y, fm_training *t);

#endif
