/* targets.c - which address next
 *
 * Runs in attempts. Pure, but for the recipients it marks. LADDER.md 6.2, A3, A6, B5, D13. */
#include "deliver/targets.h"

#include <stdio.h>
#include <string.h>

/* what the card says about trying an address; it only ever changes the order */
void targets_judge(const struct attempt *a, const struct peers_card *card, struct target *t)
{
  char text[IP_TEXT];

  ip_format(text, &t->ip);
  t->is_avoided = peers_holds(card, FACT_DOWN, a->now) || peers_holds(card, FACT_NOT_SMTP, a->now);
  t->is_last = peers_holds(card, FACT_HOST5, a->now) || peers_holds(card, FACT_NO_MAIL, a->now) ||
               peers_holds(card, FACT_UNREACHABLE, a->now);
  t->is_slow = peers_holds(card, FACT_SLOW_BANNER, a->now);
  t->is_first = strcmp(text, a->lost_at) == 0;
}

static int is_before(const struct target *a, const struct target *b)
{
  if (a->is_first != b->is_first)
    return a->is_first;
  if (a->is_last != b->is_last)
    return b->is_last;
  if (a->preference != b->preference)
    return a->preference < b->preference;
  return a->is_slow < b->is_slow;
}

void targets_order(struct target *t, size_t n)
{
  for (size_t i = 1; i < n; i++)
    for (size_t k = i; k > 0 && is_before(&t[k], &t[k - 1]); k--) {
      struct target x = t[k];
      t[k] = t[k - 1];
      t[k - 1] = x;
    }
}

/* the next target to try: not tried yet nor put off, and better than `worst`; of another family than one
 * that had no route, if there is one (A3). NULL without. */
struct target *targets_next(const struct attempt *a, struct target *t, size_t n, int is_avoided,
                            unsigned int worst)
{
  struct target *any = NULL;

  for (size_t i = 0; i < n; i++) {
    if (t[i].is_tried || t[i].is_later || t[i].is_avoided != is_avoided || t[i].preference >= worst)
      continue;
    if (t[i].ip.family != a->dead_family)
      return &t[i];
    if (!any)
      any = &t[i];
  }
  return any;
}

/* those that nothing speaks against and that were not tried; how many */
size_t targets_others(const struct target *t, size_t n, unsigned int worst)
{
  size_t count = 0;

  for (size_t i = 0; i < n; i++)
    count += !t[i].is_tried && !t[i].is_later && !t[i].is_avoided && t[i].preference < worst;
  return count;
}

/* an address that was not tried has said nothing: it cannot help a verdict for good */
void targets_defer_untried(struct attempt *a, const struct target *t, size_t n, unsigned int worst)
{
  int some = 0;

  for (size_t i = 0; i < n; i++)
    some |= !t[i].is_tried && t[i].preference < worst;
  for (size_t i = 0; some && i < a->n; i++)
    if (!a->recipient[i].is_settled)
      a->recipient[i].finals |= 1U << FINAL_DEFER;
}

/* all are down, and the one that was tried still is: that is no attempt (LADDER.md 6.2) */
void targets_all_down(struct attempt *a, const struct session *s, size_t n)
{
  char why[80];

  if (s->end != DO_NEXT || (s->saw != SAW_REFUSED && s->saw != SAW_NO_ANSWER &&
                            s->saw != SAW_UNREACHABLE))
    return;
  a->is_uncharged = 1;
  if (n == 1)
    snprintf(why, sizeof why, " (it is known to be down; this was a probe)");
  else
    snprintf(why, sizeof why, " (all %zu addresses are known to be down; this one was probed)", n);
  for (size_t i = 0; i < a->n; i++)
    if (!a->recipient[i].is_settled)
      stralloc_cats(&a->recipient[i].text, why);
}
