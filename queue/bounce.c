/* bounce.c - heloise-bounce: one failure report, composed and given to the intake
 *
 * Started by heloise-queue as hlqueue, for one message. Descriptors: 0 the queue file,
 * read-only; 3 a channel to the intake; 4 the compiled tables. It opens nothing. The queue
 * file is hostile. Exit code 0: the report is queued, or nobody wants one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common/address.h"
#include "common/confine.h"
#include "common/content.h"
#include "common/log.h"
#include "common/settings.h"
#include "common/table.h"
#include "common/verdict.h"
#include "queue/inject.h"
#include "queue/report.h"

#define FILE_FD 0
#define INTAKE_FD 3
#define TABLES_FD 4

static int fail(const char *what, const char *why)
{
  log_failed("bounce", what, why);
  return EXIT_TEMPFAIL;
}

static int load_tables(void)
{
  struct table *t = table_open(TABLES_FD);
  const char *bad;

  if (!t)
    return fail("tables", strerror(errno));
  if (settings_load(t, &bad) != 0)
    return fail("setting", bad);
  return 0;
}

struct notes {
  struct report report;
  struct story story;
};

static int note(void *arg, const struct history_line *l)
{
  struct notes *n = arg;

  return story_note(&n->story, l) == 0 ? report_note(&n->report, l) : -1;
}

/* an address that the intake takes: in normal form, with a domain */
static int complete(stralloc *out, const char *address)
{
  static struct address a;
  const char *why, *text = *address ? address : "postmaster";

  if (address_parse(text, strlen(text), 0, &a, &why) != 0) {
    errno = EINVAL;
    return -1;
  }
  errno = ENOMEM;
  if (!stralloc_copyb(out, a.text.s, a.text.len))
    return -1;
  if (!*a.domain && !(stralloc_cats(out, "@") && stralloc_cats(out, settings.hostname)))
    return -1;
  return stralloc_0(out) ? 0 : -1;
}

/* "ID.16 random hex digits": boundary and Message-ID */
static int make_boundary(char *out, size_t len, const char *id)
{
  unsigned long long salt;

  if (getrandom(&salt, sizeof salt, 0) != sizeof salt)
    return -1;
  snprintf(out, len, "%s.%016llx", id, salt);
  return 0;
}

/* the next bytes of the message before `end`, at most a frame; -1 with errno */
static ssize_t read_message(const struct envelope *e, uint64_t at, uint64_t end, char *buf)
{
  size_t want = end - at < INJECT_FRAME ? (size_t)(end - at) : INJECT_FRAME;
  ssize_t n;

  do
    n = pread(FILE_FD, buf, want, e->body_at + (off_t)at);
  while (n < 0 && errno == EINTR);
  if (n == 0)
    errno = EBADMSG; /* shorter than its envelope says */
  return n > 0 ? n : -1;
}

/* how much of the message comes back: all, or up to the header's end; -1 with errno */
static int returned_size(const struct envelope *e, uint64_t *size)
{
  struct content scan;
  char buf[INJECT_FRAME];

  *size = e->body_len;
  if (report_returns_all(e))
    return 0;
  content_start(&scan);
  while (scan.in_header && scan.size < e->body_len) {
    ssize_t n = read_message(e, scan.size, e->body_len, buf);
    if (n < 0)
      return -1;
    content_scan(&scan, buf, (size_t)n);
  }
  content_end(&scan);
  *size = scan.header_size;
  return 0;
}

static int inject_original(struct inject *in, const struct envelope *e)
{
  char buf[INJECT_FRAME];
  uint64_t end;

  if (returned_size(e, &end) != 0)
    return -1;
  for (uint64_t at = 0; at < end;) {
    ssize_t n = read_message(e, at, end, buf);
    if (n < 0 || inject_data(in, buf, (size_t)n) != 0)
      return -1;
    at += (uint64_t)n;
  }
  return 0;
}

static int send_report(struct report *r)
{
  unsigned int flags = ENVELOPE_REPORT | (r->is_double ? ENVELOPE_DOUBLE : 0U);
  struct inject in = {.sock = INTAKE_FD};
  stralloc text = {0};
  int ok;

  if (r->e->content & (CONTENT_8BIT_HEADER | CONTENT_8BIT_BODY))
    flags |= ENVELOPE_8BITMIME;
  ok = inject_begin(&in, flags, "bounce", r->to) == 0 && report_begin(&text, r) == 0 &&
       inject_data(&in, text.s, text.len) == 0 && inject_original(&in, r->e) == 0;
  text.len = 0;
  ok = ok && report_end(&text, r) == 0 && inject_data(&in, text.s, text.len) == 0 &&
       inject_commit(&in) == 0;
  if (ok)
    log_report(r->e->id, in.id, r->to);
  else
    fail(*in.refusal ? "intake" : r->e->id, *in.refusal ? in.refusal : strerror(errno));
  stralloc_free(&text);
  return ok ? EXIT_OK : EXIT_TEMPFAIL;
}

static int compose(const struct envelope *e)
{
  struct notes n = {.report = {.e = e, .hostname = settings.hostname, .now = (uint64_t)time(NULL)}};
  struct report *r = &n.report;
  char boundary[ENVELOPE_ID_MAX + 20];
  stralloc to = {0};
  int code = EXIT_TEMPFAIL;

  r->is_double = *e->sender == 0;
  r->outcome = report_outcomes(e->nrcpt);
  if (!r->outcome || complete(&to, r->is_double ? settings.postmaster : e->sender) != 0 ||
      make_boundary(boundary, sizeof boundary, e->id) != 0 ||
      history_each(FILE_FD, e, note, &n) != 0)
    fail(e->id, strerror(errno));
  else {
    r->to = to.s;
    r->boundary = boundary;
    r->story = &n.story;
    code = send_report(r);
  }
  story_free(&n.story);
  report_outcomes_free(r->outcome, e->nrcpt);
  stralloc_free(&to);
  return code;
}

static int is_wanted(const struct envelope *e)
{
  size_t n = 0;

  for (size_t i = 0; i < e->nrcpt; i++)
    n += report_is_wanted(e, i) != 0;
  return n > 0 && !(e->flags & ENVELOPE_DOUBLE);
}

int main(void)
{
  struct envelope e;
  const char *why;
  int code = load_tables();

  if (code != 0)
    return code;
  if (confine_program("bounce", NULL, 0) != 0)
    return fail("confine", strerror(errno));
  if (envelope_read(FILE_FD, &e, &why) != 0)
    return fail("queue file", why);
  code = is_wanted(&e) ? compose(&e) : EXIT_OK;
  envelope_free(&e);
  return code;
}
