/* targets.h - which address next
 *
 * What is remembered about addresses changes the order in which they are tried, and never
 * what becomes of a message: an address that was not tried has said nothing. */
#ifndef DELIVER_TARGETS_H
#define DELIVER_TARGETS_H

#include "deliver/client.h"

/* what the card says about trying an address */
void targets_judge(const struct attempt *a, const struct peers_card *card, struct target *t);
/* puts targets into the order in which they are tried */
void targets_order(struct target *t, size_t n);
/* the next one that is better than preference `worst`, among those avoided or the others, NULL
 * without; of another family than one that had no route, if there is one */
struct target *targets_next(const struct attempt *a, struct target *t, size_t n, int is_avoided,
                            unsigned int worst);
/* addresses that were left out cannot help a verdict for good */
void targets_defer_untried(struct attempt *a, const struct target *t, size_t n, unsigned int worst);
/* after the probe of one that is down, when all n are: is it an attempt? */
void targets_all_down(struct attempt *a, const struct session *s, size_t n);

/* how many are left that nothing speaks against */
size_t targets_others(const struct target *t, size_t n, unsigned int worst);

#endif
