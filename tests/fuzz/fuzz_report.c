/* fuzz_report.c - any queue file makes a report whose own lines are sound: ended by CR LF, short,
 * without a control byte, and none of them the boundary but those meant to be */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "queue/report.h"

#define BOUNDARY "0abc.salt"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct notes {
  struct report *r;
  struct story *s;
};

static int note(void *arg, const struct history_line *l)
{
  struct notes *n = arg;

  return story_note(n->s, l) == 0 ? report_note(n->r, l) : -1;
}

static void check(const stralloc *text)
{
  size_t from = 0, boundaries = 0;

  for (size_t i = 0; i < text->len; i++) {
    unsigned char c = (unsigned char)text->s[i];
    if (c == '\n') {
      if (i == 0 || text->s[i - 1] != '\r' || i - from > 999)
        abort();
      boundaries += i - from > 11 && memcmp(text->s + from, "--" BOUNDARY, 11) == 0;
      from = i + 1;
    } else if (c == '\r' ? i + 1 == text->len || text->s[i + 1] != '\n' : (c < 32 && c != '\t') || c == 127)
      abort();
  }
  if (from != text->len || boundaries != 4)
    abort();
}

static void make(int fd, const struct envelope *e, int warns)
{
  struct report r = {.e = e, .hostname = "mx.example", .to = "alice@example.org", .message_id = "0abc.hash",
                     .boundary = BOUNDARY, .now = 1769850000, .return_limit = 1000, .is_double = !*e->sender};
  struct original o;
  struct story s = {0};
  struct notes n = {&r, &s};
  stralloc out = {0};

  r.outcome = report_outcomes(e->nrcpt);
  if (!r.outcome)
    abort();
  for (size_t i = 0; i < e->nrcpt; i++) {
    r.outcome[i].action = notify_owed(e, i);
    r.outcome[i].until = notify_end(NULL, e, i);
    if (warns && notify_warn_at(NULL, e, i) != NOTIFY_NEVER_DUE)
      r.outcome[i].action = NOTIFY_DELAYED;
  }
  if (original_open(&o, fd, e) == 0 && history_each(fd, e, note, &n) == 0) {
    r.story = &s;
    r.original = &o;
    if (o.header > e->body_len || report_begin(&out, &r) != 0 || report_end(&out, &r) != 0)
      abort();
    check(&out);
  }
  stralloc_free(&out);
  story_free(&s);
  original_free(&o);
  report_outcomes_free(r.outcome, e->nrcpt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  static int fd = -1;
  struct envelope e;
  const char *why;

  if (fd < 0)
    fd = memfd_create("report", 0);
  if (ftruncate(fd, 0) != 0 || pwrite(fd, data, len, 0) != (ssize_t)len)
    abort();
  if (envelope_parse((const char *)data, len, &e, &why) != 0)
    return 0;
  make(fd, &e, 0);
  make(fd, &e, 1);
  envelope_free(&e);
  return 0;
}
