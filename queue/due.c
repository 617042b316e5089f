/* due.c - recipients that are due become batches, and batches jobs
 *
 * Runs in the manager. Recipients are sorted by next hop; those with the same one make a
 * batch, which gives jobs when it is its turn (schedule.c). Routes that say no or hold are
 * dealt with at once. A list of 100,000 is looked at in slices, so that the manager's turn
 * stays short, and makes its batches some at a time, so that its memory does. */
#include "queue/due.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <xxhash.h>

#include "common/log.h"
#include "common/program.h"
#include "common/retry.h"
#include "common/settings.h"
#include "queue/clock.h"
#include "queue/destination.h"
#include "queue/history.h"
#include "queue/recovery.h"
#include "queue/tally.h"
#include "queue/waiting.h"

#define SLICE 2000      /* recipients looked at in one turn */
#define BATCHES_EACH 500 /* of one message at once */
#define NOT_SCHEDULED (3600 + 60) /* seconds: what a reply, or a lost answer, may ask for (LADDER.md) */

static struct work *routing, *routing_last;
static const struct work *cached; /* next_hop() knows its last domain */

/* those that were tried as often come together: a job has one number of attempts */
static int by_hop(const void *a, const void *b, void *work)
{
  const struct envelope_rcpt *rcpt = ((const struct work *)work)->e.rcpt;
  const struct due *x = a, *y = b;

  if (x->hop != y->hop)
    return x->hop < y->hop ? -1 : 1;
  if (rcpt[x->rcpt].attempts != rcpt[y->rcpt].attempts)
    return rcpt[x->rcpt].attempts < rcpt[y->rcpt].attempts ? -1 : 1;
  return x->rcpt < y->rcpt ? -1 : x->rcpt > y->rcpt;
}

/* ---- jobs */

static struct job *new_job(struct work *w, const struct due *due, size_t n)
{
  struct job *j = calloc(1, sizeof *j);

  if (!j)
    return NULL;
  j->work = w;
  j->nrcpt = n;
  j->rcpt = reallocarray(NULL, n, sizeof *j->rcpt);
  j->told = calloc(n, 1);
  if (!j->rcpt || !j->told) {
    work_free_job(j);
    return NULL;
  }
  for (size_t i = 0; i < n; i++)
    j->rcpt[i] = due[i].rcpt;
  j->attempt = w->e.rcpt[due[0].rcpt].attempts + 1;
  return j;
}

struct job *due_job(struct work *w, struct batch *b, size_t limit)
{
  const struct due *due = w->due + b->from;
  size_t n = 1;
  struct job *j;

  while (n < b->n && n < limit && w->e.rcpt[due[n].rcpt].attempts == w->e.rcpt[due->rcpt].attempts)
    n++;
  j = new_job(w, due, n);
  if (!j) {
    w->is_short = 1;
    return NULL;
  }
  w->jobs++;
  b->from += n;
  b->n -= n;
  return j;
}

/* ---- routes */

/* a route that says no: "5.7.1 text", or a text without a code */
static void refuse_by_route(struct work *w, size_t i, const struct nexthop *hop)
{
  static stralloc text, line; /* bound: a route's text */
  struct envelope_rcpt *r = &w->e.rcpt[i];
  char number[24], *space;
  const char *outcome[5] = {number, verdict_word(V_PERM), "5.7.1", "", ""};

  if (!stralloc_copyb(&text, hop->text, hop->textlen) || !stralloc_0(&text) ||
      !stralloc_copys(&line, ""))
    return;
  outcome[4] = text.s;
  space = strchr(text.s, ' ');
  if (strncmp(text.s, "5.", 2) == 0 && space) {
    *space = 0;
    outcome[2] = text.s;
    outcome[4] = space + 1;
  }
  work_status(w, i, RCPT_FAILED);
  if (r->attempts < 65535)
    r->attempts++;
  tally_count(TALLY_BOUNCED, 1);
  log_bounced(w->name.id, r->address, "error", outcome[2], outcome[4]);
  work_mark(w, i);
  snprintf(number, sizeof number, "%zu", i);
  if (history_line_make(&line, 'o', clock_wall(), r->attempts, outcome, 5) == 0)
    work_story(w, &line);
}

void due_refuse(struct work *w, const char *text)
{
  const struct nexthop no = {.kind = HOP_ERROR, .text = text, .textlen = strlen(text)};

  for (size_t i = 0; i < w->e.nrcpt; i++)
    if (w->e.rcpt[i].status == RCPT_TODO)
      refuse_by_route(w, i, &no);
}

/* the next hop of recipient i; a list often has one domain, so that of the last is kept. 0, or -1
 * (ENOMEM) */
static int next_hop(const struct work *w, size_t i, struct nexthop *h, uint64_t *hop)
{
  static stralloc text;          /* bound: a next hop's text */
  static struct nexthop last;
  static const struct table *by;
  static const char *domain;
  static uint64_t hash;
  const char *mine = envelope_domain(w->e.rcpt[i].address);

  if (cached != w || by != program_table() || strcmp(domain, mine) != 0) {
    cached = NULL;
    if (destination_of(program_table(), w->e.rcpt[i].address, &last, &text, NULL) != 0)
      return -1;
    cached = w;
    by = program_table();
    domain = mine;
    hash = XXH3_64bits(text.s, text.len);
  }
  *h = last;
  *hop = hash;
  return 0;
}

/* routes that say no or hold are dealt with here. 1: it is due at *hop; 0: it is not; -1 ENOMEM */
static int route(struct work *w, size_t i, uint64_t *hop)
{
  struct nexthop h;

  if (next_hop(w, i, &h, hop) != 0)
    return -1;
  if (h.kind == HOP_ERROR) {
    refuse_by_route(w, i, &h);
    return 0;
  }
  if (h.kind == HOP_HOLD) {
    w->e.rcpt[i].next = WAITING_NEVER;
    work_mark(w, i);
    return 0;
  }
  return 1;
}

int due_is_beyond(const struct work *w, size_t i, uint64_t next)
{
  struct retry_message m;
  struct retry r;
  uint64_t now = clock_wall(), longest;

  if (next >= WAITING_NEVER || next <= now + NOT_SCHEDULED)
    return 0;
  work_schedule(w, i, &r, &m);
  longest = retry_longest(&r);
  return next > now + (longest > NOT_SCHEDULED ? longest + 60 : NOT_SCHEDULED);
}

static int is_due(struct work *w, size_t i, uint64_t now)
{
  struct envelope_rcpt *r = &w->e.rcpt[i];

  if (r->status != RCPT_TODO)
    return 0;
  if (due_is_beyond(w, i, r->next)) {
    r->next = now;
    work_mark(w, i);
  }
  return w->is_hurried || (w->is_released && r->next < WAITING_NEVER) || r->next <= now;
}

/* ---- batches */

/* whether those of due[from] ... due[from+n-1] may be tried now, though their next hop is shut: a
 * life that is over gets a last word. 1: they may; 0: they wait, or went back. */
static int has_last_word(struct work *w, uint32_t hop, size_t from, size_t n)
{
  const char *why = "";
  enum recovery_last last = recovery_last_word(hop, &why);
  uint64_t now = clock_wall();
  int is_open = 0;

  for (size_t k = from; k < from + n; k++) {
    struct retry_message m;
    struct retry r;
    uint64_t end;
    work_schedule(w, w->due[k].rcpt, &r, &m);
    end = retry_end(&r, &m);
    if (end <= now && last == RECOVERY_EXPIRE)
      work_expire(w, w->due[k].rcpt, why);
    else if (end <= now && last == RECOVERY_WAIT)
      w->look_again = now + 5;
    else if (end <= now)
      is_open = 1;
  }
  return is_open;
}

static int is_shut(struct work *w, const char *nexthop, const struct batch *b)
{
  uint32_t hop = store_hop_hash(nexthop, strlen(nexthop));

  if (!recovery_is_shut(hop, w->is_again ? LANE_AGAIN : LANE_NEW, w->is_hurried) ||
      has_last_word(w, hop, b->from, b->n))
    return 0;
  w->has_more_shut |= w->shut_hop != 0;
  w->shut_hop = hop;
  work_suspend(w, b, nexthop);
  return 1;
}

/* local mail: a destination for each address, so that one mailbox that is stuck stops no other */
static int add_local(struct work *w, size_t from)
{
  const char *address = w->e.rcpt[w->due[from].rcpt].address;
  struct batch b = {.from = from, .n = 1};

  w->spread = from + 1;
  return schedule_add(w, &b, "local", WORK_LOCAL, XXH3_64bits(address, strlen(address)));
}

/* those with the same next hop as the first that is in no batch. 0, or -1 (ENOMEM) */
static int add_next(struct work *w)
{
  static stralloc text; /* bound: a next hop's text */
  struct batch b = {.from = w->spread, .n = 1};
  uint64_t hop = w->due[b.from].hop;
  struct nexthop h;

  if (destination_of(program_table(), w->e.rcpt[w->due[b.from].rcpt].address, &h, &text, NULL) != 0)
    return -1;
  if (h.kind == HOP_LOCAL)
    return add_local(w, b.from);
  while (b.from + b.n < w->ndue && w->due[b.from + b.n].hop == hop)
    b.n++;
  w->spread += b.n;
  if (h.kind == HOP_ERROR || h.kind == HOP_HOLD) /* the tables changed just now */
    return 0;
  return is_shut(w, text.s, &b) ? 0 : schedule_add(w, &b, text.s, WORK_DELIVER, hop);
}

void due_more(struct work *w)
{
  while (!w->is_short && w->spread < w->ndue && w->batches < BATCHES_EACH)
    if (add_next(w) != 0)
      w->is_short = 1;
  if (w->is_short)
    w->spread = w->ndue;
}

int due_is_elsewhere(const struct work *w, const struct batch *b, const char *nexthop)
{
  static stralloc text; /* bound: a next hop's text */
  const char *domain = NULL;
  size_t looked = 0;
  struct nexthop h;

  for (size_t i = b->from; i < b->from + b->n; i++) {
    const char *address = w->e.rcpt[w->due[i].rcpt].address;
    if (domain && strcmp(domain, envelope_domain(address)) == 0)
      continue;
    domain = envelope_domain(address);
    if (looked++ == SLICE)
      return 1; /* too many to look at in one turn: they are sorted anew */
    if (destination_of(program_table(), address, &h, &text, NULL) == 0 &&
        (text.len != strlen(nexthop) || memcmp(text.s, nexthop, text.len) != 0))
      return 1;
  }
  return 0;
}

/* ---- slices */

/* looks at some more; whether that was the last */
static int look(struct work *w)
{
  uint64_t now = clock_wall();
  size_t end = w->e.nrcpt - w->routed > SLICE ? w->routed + SLICE : w->e.nrcpt;

  for (; w->routed < end; w->routed++) {
    int r = is_due(w, w->routed, now) ? route(w, w->routed, &w->due[w->ndue].hop) : 0;
    if (r < 0) {
      w->is_short = 1;
      w->routed = w->e.nrcpt;
      break;
    }
    if (r)
      w->due[w->ndue++].rcpt = w->routed;
  }
  return w->routed == w->e.nrcpt;
}

static void spread(struct work *w)
{
  qsort_r(w->due, w->ndue, sizeof *w->due, by_hop, w);
  due_more(w);
}

void due_begin(struct work *w)
{
  cached = NULL;
  w->due = reallocarray(NULL, w->e.nrcpt, sizeof *w->due);
  if (!w->due) {
    w->is_short = 1;
    return;
  }
  if (look(w)) {
    spread(w);
    return;
  }
  w->is_routing = 1;
  w->next_routing = NULL;
  if (routing)
    routing_last->next_routing = w;
  else
    routing = w;
  routing_last = w;
}

void due_forget(struct work *w)
{
  struct work **p = &routing, *before = NULL;

  if (!w->is_routing)
    return;
  for (; *p != w; p = &(*p)->next_routing)
    before = *p;
  *p = w->next_routing;
  if (routing_last == w)
    routing_last = before;
  w->is_routing = 0;
}

void due_turn(void)
{
  struct work *w = routing;

  if (!w)
    return;
  if (look(w)) {
    due_forget(w);
    spread(w);
    work_settle(w);
  } else if (w->next_routing) { /* the next one's turn */
    routing = w->next_routing;
    routing_last->next_routing = w;
    routing_last = w;
    w->next_routing = NULL;
  }
}

int due_has_more(void)
{
  return routing != NULL;
}
