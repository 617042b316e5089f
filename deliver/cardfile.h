/* cardfile.h - a file of cards: the format of state/peers and state/offers
 *
 * A head of magic bytes and a seed, then rings of records of fixed size. It is read and written in place
 * and never mapped: a disk that is full, or a file that somebody cut short, costs what is
 * remembered and not the program. What cannot be read is zeros, which hold nothing. */
#ifndef DELIVER_CARDFILE_H
#define DELIVER_CARDFILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cardfile_format {
  const char *name, *magic;
  off_t size; /* of the file; what is not used is a hole */
};

/* n records of `size` bytes from `start` on; n is a power of two */
struct cardfile_ring {
  off_t start;
  size_t size, n;
};

struct cardfile {
  int read, write; /* write: -1 when it was opened for reading. They survive a fork. */
  uint64_t seed;   /* for hashes: nobody shall choose addresses that crowd a peer out. 0 in old files */
};

/* opens a file in the directory dirfd for writing; makes it anew when it is missing or
 * malformed. 0, or -1 with errno */
int cardfile_open(struct cardfile *f, int dirfd, const struct cardfile_format *t);
/* opens the file as it is. 0, or -1 with errno (ENOENT: it is missing or malformed) */
int cardfile_read(struct cardfile *f, int dirfd, const struct cardfile_format *t);
int cardfile_edit(struct cardfile *f, int dirfd, const struct cardfile_format *t);
void cardfile_close(struct cardfile *f);

/* when a record was last of use, as a time on it says: one in the future is none, so that a damaged
 * record, or one from before the clock was set right, makes room for others */
static inline uint32_t cardfile_used(uint32_t at, uint32_t now)
{
  return at <= now ? at : 0;
}

/* copies `many` records from place `at` of a ring on, which its beginning follows its end */
void cardfile_get(const struct cardfile *f, const struct cardfile_ring *r, size_t at, size_t many,
                  void *out);
/* the first place from `at` on that something was ever written to, or near it; r->n: there is none.
 * What was never used is a hole, and need not be read. */
size_t cardfile_next(const struct cardfile *f, const struct cardfile_ring *r, size_t at);
/* writes a record. 0, or -1 with errno: it is not remembered */
int cardfile_put(const struct cardfile *f, const struct cardfile_ring *r, size_t at,
                 const void *record);

#endif
