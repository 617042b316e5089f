/* slots.h - numbers for questions that are open on a channel
 *
 * A number names its slot and its turn, so that a late answer to a question that was
 * given up finds nobody, even when the slot is in use again. */
#ifndef SMTPD_SLOTS_H
#define SMTPD_SLOTS_H

#include <stddef.h>
#include <stdint.h>

struct slots {
  struct slot {
    void *owner;
    uint64_t number;
  } *slot;
  size_t n, hint; /* bound of n: one per session, and SLOTS_MAX */
  uint64_t turn;
};

#define SLOTS_MAX ((size_t)1 << 20)

/* a number for owner: 0, or -1 when there is none or memory is out */
int slots_take(struct slots *s, void *owner, uint64_t *number);
/* whose number this is, or NULL */
void *slots_find(const struct slots *s, uint64_t number);
void slots_free(struct slots *s, uint64_t number);

#endif
