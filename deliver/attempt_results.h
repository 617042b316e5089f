/* attempt_results.h - what an attempt comes to, recipient by recipient
 *
 * Runs in attempts. attempt_settle() and attempt_left() are in attempt.h. */
#ifndef DELIVER_ATTEMPT_RESULTS_H
#define DELIVER_ATTEMPT_RESULTS_H

#include "deliver/attempt.h"
#include "deliver/report.h"

/* a recipient's result as it is reported; its text ends with a NUL */
struct report_result attempt_result(const struct attempt *a, const struct recipient *r, enum verdict v,
                                    uint64_t until);
/* the same result for all that have none */
void attempt_settle_rest(struct attempt *a, enum verdict v, const char *status, const char *text,
                         enum report_host host);
/* one address failed for all that are left and were not answered there themselves */
void attempt_record(struct attempt *a, enum ladder_final final, const char *status,
                    const stralloc *text, enum report_host host);
/* those that are left: what was recorded is their result */
void attempt_conclude(struct attempt *a);

#endif
