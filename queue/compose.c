/* compose.c - a report from what stands in a queue file, given to the intake
 *
 * Runs in heloise-bounce. The queue file is hostile. */
#include "queue/compose.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <xxhash.h>

#include "common/address.h"
#include "common/log.h"
#include "common/settings.h"
#include "queue/inject.h"
#include "queue/report.h"

#define NAME_MAX_LEN (ENVELOPE_ID_MAX + 20) /* "ID.16 hex digits" */

static int fail(const char *what, const char *why)
{
  log_failed("bounce", what, why);
  return -1;
}

/* ---- what is reported */

/* what each recipient's sender is owed; how many */
static size_t find_owed(const struct compose *c, struct report *r)
{
  const struct envelope *e = r->e;

  for (size_t i = 0; i < e->nrcpt; i++) {
    struct report_outcome *o = &r->outcome[i];
    o->action = notify_owed(e, i);
    o->until = notify_end(c->tables, e, i);
    if (c->warns && notify_warn_at(c->tables, e, i) != NOTIFY_NEVER_DUE)
      o->action = NOTIFY_DELAYED;
  }
  return report_count(r, NOTIFY_NOTHING);
}

struct notes {
  struct report *report;
  struct story *story;
};

static int note(void *arg, const struct history_line *l)
{
  struct notes *n = arg;

  return story_note(n->story, l) == 0 ? report_note(n->report, l) : -1;
}

/* ---- names */

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

/* that the message does not hold it depends on chance alone */
static int make_boundary(char out[NAME_MAX_LEN], const char *id)
{
  unsigned long long salt;

  if (getrandom(&salt, sizeof salt, 0) != sizeof salt)
    return -1;
  snprintf(out, NAME_MAX_LEN, "%s.%016llx", id, salt);
  return 0;
}

/* the same for the same report: should a crash have it sent twice, it can be seen */
static void make_message_id(char out[NAME_MAX_LEN], const struct report *r)
{
  uint64_t h = 0;

  for (size_t i = 0; i < r->e->nrcpt; i++)
    if (r->outcome[i].action) {
      uint64_t what[2] = {i, r->outcome[i].action};
      h = XXH3_64bits_withSeed(what, sizeof what, h);
    }
  snprintf(out, NAME_MAX_LEN, "%s.%016llx", r->e->id, (unsigned long long)h);
}

/* ---- sending */

static int send_piece(void *arg, const char *s, size_t len)
{
  return inject_data(arg, s, len);
}

static int send_text(struct inject *in, const struct report *r,
                     int (*make)(stralloc *out, const struct report *r))
{
  stralloc text = {0};
  int ok = make(&text, r) == 0 && inject_data(in, text.s, text.len) == 0;

  stralloc_free(&text);
  return ok ? 0 : -1;
}

static int send_report(const struct report *r, int intake)
{
  struct inject in = {.sock = intake};
  uint64_t end = report_returns_all(r) ? r->e->body_len : r->original->header;

  if (inject_begin(&in, report_flags(r), "bounce", r->to) != 0 ||
      send_text(&in, r, report_begin) != 0 ||
      original_each(r->original, end, send_piece, &in) != 0 ||
      send_text(&in, r, report_end) != 0 || inject_commit(&in) != 0)
    return fail(*in.refusal ? "intake" : r->e->id, *in.refusal ? in.refusal : strerror(errno));
  log_report(r->e->id, in.id, r->to);
  return 0;
}

/* r's recipients are known; the rest is found */
static int fill_and_send(const struct compose *c, struct report *r, struct original *original)
{
  char boundary[NAME_MAX_LEN], message_id[NAME_MAX_LEN];
  struct story story = {0};
  struct notes notes = {r, &story};
  stralloc to = {0};
  int result = -1;

  r->story = &story;
  r->original = original;
  r->boundary = boundary;
  r->message_id = message_id;
  make_message_id(message_id, r);
  if (complete(&to, r->is_double ? settings.postmaster : r->e->sender) != 0 ||
      make_boundary(boundary, r->e->id) != 0 || original_open(original, c->file, r->e) != 0 ||
      history_each(c->file, r->e, note, &notes) != 0)
    fail(r->e->id, strerror(errno));
  else {
    r->to = to.s;
    result = send_report(r, c->intake);
  }
  story_free(&story);
  stralloc_free(&to);
  return result;
}

static int compose(const struct compose *c, const struct envelope *e)
{
  struct report r = {.e = e, .hostname = settings.hostname, .now = (uint64_t)time(NULL),
                     .return_limit = settings.bounce_return_limit, .is_double = !*e->sender,
                     .outcome = report_outcomes(e->nrcpt)};
  struct original original = {0};
  int result;

  if (!r.outcome)
    return fail(e->id, strerror(ENOMEM));
  if (find_owed(c, &r) > 0)
    result = fill_and_send(c, &r, &original);
  else
    result = fail(e->id, "by its file nothing is to be reported");
  original_free(&original);
  report_outcomes_free(r.outcome, e->nrcpt);
  return result;
}

int compose_report(const struct compose *c)
{
  struct envelope e;
  const char *why;
  int result;

  if (envelope_read(c->file, &e, &why) != 0)
    return fail("queue file", why);
  result = compose(c, &e);
  envelope_free(&e);
  return result;
}
