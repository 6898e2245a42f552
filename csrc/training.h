/* Steps and epochs over blocks of rows. */
#ifndef FM_TRAINING_H
#define FM_TRAINING_H

#include "network.h"

int fm_run_pass(const fm_context *c, const char *params, const fm_rows *x, const fm_targets *y, fm_pass *pass);
int fm_run_training(const fm_context *c, char *params, const fm_rows *x, const fm_targets *y, fm_training *t);

#endif
