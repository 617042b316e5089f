/* show_content.c - `heloise queue show ID --headers --body`: the message as it is
 *
 * Runs in a child of the manager, or in the command while nothing runs. What is printed is a
 * stranger's bytes: the command makes them harmless where a terminal shows them (harmless.h). */
#include "queue/show_content.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/verdict.h"

#define CHUNK 16384

/* where the header ends: the empty line is found by the two bytes before it, so that the state is
 * the number of bytes of "\r\n\r\n" seen; a message may begin with it */
struct splitter {
  size_t seen;
  int is_body;
};

/* how many of the len bytes at s belong to the header, the empty line included */
static size_t header_part(struct splitter *p, const char *s, size_t len)
{
  static const char end[] = "\r\n\r\n";

  for (size_t i = 0; !p->is_body && i < len; i++) {
    p->seen = s[i] == end[p->seen] ? p->seen + 1 : s[i] == '\r' ? 1 : 0;
    if (p->seen == 4) {
      p->is_body = 1;
      return i + 1;
    }
  }
  return p->is_body ? 0 : len;
}

static int print_piece(const struct sight *s, struct splitter *p, unsigned int parts, const char *buf,
                       size_t len)
{
  size_t head = header_part(p, buf, len);
  int r = 0;

  if (head > 0 && (parts & PART_HEADERS))
    r = s->v->print(s->v->arg, buf, head, 0);
  if (r == 0 && head < len && (parts & PART_BODY))
    r = s->v->print(s->v->arg, buf + head, len - head, 0);
  return r;
}

int show_content(const struct sight *s, unsigned int parts)
{
  struct splitter p = {.seen = 2}; /* as if a line had ended before the first one */
  char buf[CHUNK];
  off_t at = s->e.body_at;
  uint64_t left = s->e.body_len;

  while (left > 0 && !(p.is_body && !(parts & PART_BODY))) {
    ssize_t n = pread(s->fd, buf, left < CHUNK ? (size_t)left : CHUNK, at);
    if (n <= 0) {
      inspect_say(s->v, 1, "heloise: message %s: %s\n", s->e.id,
                  n < 0 ? strerror(errno) : "shorter than its length says");
      return EXIT_IOERR;
    }
    if (print_piece(s, &p, parts, buf, (size_t)n) != 0)
      return EXIT_IOERR;
    left -= (uint64_t)n;
    at += n;
  }
  return EXIT_OK;
}
