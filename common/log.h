/* log.h - one function per event: the vocabulary of the log
 *
 * log.def lists the events. Values are hostile bytes: log.c escapes them, and nobody
 * else does. NULL is written as "-". */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

struct log_field {
  const char *name, *value;
};

/* no more lines: for commands that play a program's part */
void log_silence(void);

void log_write(const char *event, const struct log_field *f, size_t n);

/* appends s to out so that it cannot break a line: printable ASCII stays (without `"`
 * and `\`), other bytes become \xHH. 0, or -1 (ENOMEM). */
int log_escape(stralloc *out, const char *s, size_t len);

/* undoes it in place where a printable character comes out; the rest stays escaped */
void log_unescape(char *s);

/* v in decimal, in one of a few static buffers: for passing to one log function */
const char *log_num(uint64_t v);

#define LOG1(n, a, help) static inline void log_##n(const char *a) \
  { struct log_field f[] = {{#a, a}}; log_write(#n, f, 1); }
#define LOG2(n, a, b, help) static inline void log_##n(const char *a, const char *b) \
  { struct log_field f[] = {{#a, a}, {#b, b}}; log_write(#n, f, 2); }
#define LOG3(n, a, b, c, help) \
  static inline void log_##n(const char *a, const char *b, const char *c) \
  { struct log_field f[] = {{#a, a}, {#b, b}, {#c, c}}; log_write(#n, f, 3); }
#define LOG4(n, a, b, c, d, help) \
  static inline void log_##n(const char *a, const char *b, const char *c, const char *d) \
  { struct log_field f[] = {{#a, a}, {#b, b}, {#c, c}, {#d, d}}; log_write(#n, f, 4); }
#define LOG5(n, a, b, c, d, e, help) \
  static inline void log_##n(const char *a, const char *b, const char *c, const char *d, \
                             const char *e) \
  { struct log_field f[] = {{#a, a}, {#b, b}, {#c, c}, {#d, d}, {#e, e}}; log_write(#n, f, 5); }
#define LOG6(n, a, b, c, d, e, g, help) \
  static inline void log_##n(const char *a, const char *b, const char *c, const char *d, \
                             const char *e, const char *g) \
  { struct log_field f[] = {{#a, a}, {#b, b}, {#c, c}, {#d, d}, {#e, e}, {#g, g}}; \
    log_write(#n, f, 6); }
#include "common/log.def"
#undef LOG1
#undef LOG2
#undef LOG3
#undef LOG4
#undef LOG5
#undef LOG6

#endif
