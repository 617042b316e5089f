/* window.h - a message read line by line, at any place, through one buffer
 *
 * Constant memory. A line ends with CR LF; one that is longer than the buffer comes in
 * pieces. */
#ifndef DELIVER_WINDOW_H
#define DELIVER_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#include "deliver/sevenbit.h"

struct window {
  const struct sevenbit_source *source;
  int failed;  /* a read failed: errno says how */
  uint64_t at; /* what buf holds */
  size_t len;
  char buf[32768];
};

struct window_line {
  const char *s; /* valid until the next call */
  size_t len;    /* with its CR LF; 0 at the end or on failure */
  int ends;      /* CR LF is there, or `to` is reached; else a piece: the line goes on */
};

/* the line, or piece of one, that begins at `at` and ends before `to` */
struct window_line window_line(struct window *w, uint64_t at, uint64_t to);
/* length of a line without its CR LF */
size_t window_text(const struct window_line *l);

#endif
