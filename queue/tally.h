/* tally.h - what the manager did in the last minute, the last hour, and since its start */
#ifndef QUEUE_TALLY_H
#define QUEUE_TALLY_H

#include <stddef.h>
#include <stdint.h>

enum tally {
#define TALLY(name, word, what) TALLY_##name,
#include "queue/tally.def"
#undef TALLY
  TALLIES
};

struct tally_sums {
  uint64_t minute, hour, total; /* the hour to a minute */
};

/* counting begins */
void tally_start(void);
void tally_count(enum tally t, size_t n);
void tally_sums(enum tally t, struct tally_sums *s);
/* when it began, by the clock of today: epoch */
uint64_t tally_since(void);
const char *tally_word(enum tally t);
/* what is counted */
const char *tally_what(enum tally t);

#endif
