/* spawners.c - destinations, their jobs, and the programs that make attempts of them
 *
 * Runs in the manager. What deliver and local say is checked here: a result for a job they
 * do not have, or a recipient outside it, is a fault. Of a destination's jobs at most
 * destination-attempts fly at once; destinations with jobs take turns. */
#include "queue/spawners.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/chan.h"
#include "common/log.h"
#include "common/program.h"
#include "common/settings.h"
#include "common/units.h"
#include "queue/dialogue.h"
#include "queue/waiting.h"

#define CHAINS 4096 /* a power of two up to 2^32: spawners_is_crowded() knows 32 bits of a key */
#define CROWD 4        /* times destination-attempts: no more messages are taken up for it */
#define LOCAL_EACH 4   /* deliveries at once to one local address */
#define UNPROVEN_EACH 1

struct spawner {
  struct chan chan; /* first */
  const char *name;
  const uint64_t *limit; /* of jobs that fly at once */
  size_t flying;
  int is_full;  /* its channel's queue is; drained() follows */
  int is_tight; /* half of its places were taken: some destinations were held to few */
  struct destination *ready, *ready_last;
};

static struct spawner spawner[WORK_SPAWNERS] = {
  [WORK_DELIVER] = {.chan = {.fd = -1}, .name = "deliver", .limit = &settings.queue_attempts},
  [WORK_LOCAL] = {.chan = {.fd = -1}, .name = "local", .limit = &settings.local_attempts},
};
static struct destination *by_name[CHAINS];
static struct job *by_number[CHAINS];
static uint64_t last_number;

/* a question about peer memory that deliver has not answered */
static struct asked {
  struct asked *next;
  uint64_t number;
  void (*told)(void *arg, long count);
  void *arg;
} *asked;

static int queue_dir = -1;

void spawners_open(int queue_fd)
{
  queue_dir = queue_fd;
}

/* ---- destinations */

/* local mail is one destination per address, so that one mailbox that is stuck stops no other */
static uint64_t key_of(const struct job *j, const char *nexthop, size_t len, enum work_spawner s)
{
  const char *address = j->work->e.rcpt[j->rcpt[0]].address;

  return s == WORK_LOCAL ? XXH3_64bits(address, strlen(address)) : XXH3_64bits(nexthop, len);
}

static struct destination *destination(uint64_t key, const char *nexthop, size_t len,
                                       enum work_spawner s)
{
  struct destination **p = &by_name[key % CHAINS], *d;

  for (; *p; p = &(*p)->chain)
    if ((*p)->key == key && (*p)->spawner == s)
      return *p;
  d = calloc(1, sizeof *d + len + 1);
  if (!d)
    return NULL;
  memcpy(d->nexthop, nexthop, len);
  d->key = key;
  d->spawner = s;
  d->parked = d->parked_last = WAITING_NONE;
  *p = d;
  return d;
}

static struct destination *by_hop(uint32_t hop)
{
  struct destination *d = by_name[hop % CHAINS];

  while (d && ((uint32_t)d->key != hop || d->spawner != WORK_DELIVER))
    d = d->chain;
  return d;
}

int spawners_is_crowded(uint32_t hop)
{
  const struct destination *d = by_hop(hop);

  return d && d->waiting >= CROWD * settings.destination_attempts;
}

void spawners_park(uint32_t hop, uint32_t handle)
{
  struct destination *d = by_hop(hop);

  assert(d);
  waiting_take(handle);
  waiting_at(handle)->is_parked = 1;
  waiting_at(handle)->behind = WAITING_NONE;
  if (d->parked == WAITING_NONE)
    d->parked = handle;
  else
    waiting_at(d->parked_last)->behind = handle;
  d->parked_last = handle;
}

/* takes `handle`, which stands behind `before` (WAITING_NONE: first), out of d's line */
static void leave_line(struct destination *d, uint32_t before, uint32_t handle)
{
  struct waiting *w = waiting_at(handle);

  if (before == WAITING_NONE)
    d->parked = w->behind;
  else
    waiting_at(before)->behind = w->behind;
  if (d->parked_last == handle)
    d->parked_last = before;
  w->is_parked = 0;
}

void spawners_unpark(uint32_t handle)
{
  for (size_t i = 0; i < CHAINS; i++)
    for (struct destination *d = by_name[i]; d; d = d->chain)
      for (uint32_t before = WAITING_NONE, h = d->parked; h != WAITING_NONE;
           before = h, h = waiting_at(h)->behind)
        if (h == handle) {
          leave_line(d, before, h);
          return;
        }
}

/* there is room: those parked are due again */
static void wake(struct destination *d)
{
  size_t room = CROWD * settings.destination_attempts - d->waiting;

  for (; room > 0 && d->parked != WAITING_NONE; room--) {
    uint32_t handle = d->parked;
    leave_line(d, WAITING_NONE, handle);
    waiting_until(handle, 0);
  }
}

/* a destination without jobs is forgotten */
static void release(struct destination *d)
{
  struct destination **p = &by_name[d->key % CHAINS];

  if (d->flying || d->waiting || d->is_ready || d->parked != WAITING_NONE)
    return;
  while (*p != d)
    p = &(*p)->chain;
  *p = d->chain;
  free(d);
}

/* how many jobs of d may fly: while half of all places are taken, destinations that have not
 * shown that they take mail get few, so that slow ones cannot take all */
static size_t places(const struct destination *d)
{
  const struct spawner *s = &spawner[d->spawner];

  if (d->spawner == WORK_LOCAL)
    return LOCAL_EACH;
  return s->flying * 2 >= *s->limit && !d->is_proven ? UNPROVEN_EACH : settings.destination_attempts;
}

/* puts d in the round when it has a job to start and a place for it */
static void join_round(struct destination *d)
{
  struct spawner *s = &spawner[d->spawner];

  if (d->is_ready || !d->first || d->flying >= places(d))
    return;
  d->is_ready = 1;
  d->next_ready = NULL;
  if (s->ready)
    s->ready_last->next_ready = d;
  else
    s->ready = d;
  s->ready_last = d;
}

int spawners_add(struct job *j, const char *nexthop, size_t len, enum work_spawner s)
{
  struct destination *d = destination(key_of(j, nexthop, len, s), nexthop, len, s);

  if (!d)
    return -1;
  j->to = d;
  j->next = NULL;
  if (d->first)
    d->last->next = j;
  else
    d->first = j;
  d->last = j;
  d->waiting++;
  join_round(d);
  return 0;
}

/* ---- jobs that fly, by number */

static struct job **job_of(uint64_t number)
{
  struct job **p = &by_number[number % CHAINS];

  while (*p && (*p)->number != number)
    p = &(*p)->chain;
  return p;
}

static void land(struct job *j, const char *why, int charged)
{
  struct destination *d = j->to;

  *job_of(j->number) = j->chain;
  d->flying--;
  spawner[d->spawner].flying--;
  work_finished(j, why, charged);
  join_round(d);
  release(d);
}

/* "0-4,9" */
static int cat_ranges(stralloc *out, const struct job *j)
{
  if (!stralloc_copys(out, ""))
    return -1;
  for (size_t i = 0; i < j->nrcpt;) {
    size_t end = i + 1;
    while (end < j->nrcpt && j->rcpt[end] == j->rcpt[end - 1] + 1)
      end++;
    if ((i > 0 && !stralloc_cats(out, ",")) || units_format_number(out, j->rcpt[i]) != 0 ||
        (end > i + 1 && (!stralloc_cats(out, "-") || units_format_number(out, j->rcpt[end - 1]) != 0)))
      return -1;
    i = end;
  }
  return 0;
}

/* sends the job off. 0; -1 with errno: nothing was sent */
static int launch(struct spawner *s, struct job *j)
{
  static stralloc ranges; /* bound: 11 bytes a recipient of one attempt */
  struct wire_out o;
  int fd = store_open(queue_dir, &j->work->name, O_RDONLY);
  int r = -1, saved;

  if (fd < 0)
    return -1;
  if (cat_ranges(&ranges, j) == 0) {
    j->started = (uint64_t)time(NULL);
    wire_start(&o, WIRE_ATTEMPT);
    wire_num(&o, j->number);
    wire_str(&o, j->work->name.id);
    wire_str(&o, j->to->nexthop);
    wire_num(&o, j->attempt - 1);
    wire_bytes(&o, ranges.s, ranges.len);
    r = chan_send(&s->chan, &o, fd);
  }
  saved = errno;
  close(fd);
  errno = saved;
  return r;
}

static struct destination *next_ready(struct spawner *s)
{
  struct destination *d = s->ready;

  s->ready = d->next_ready;
  d->is_ready = 0;
  return d;
}

static struct job *take_job(struct destination *d)
{
  struct job *j = d->first;

  d->first = j->next;
  d->waiting--;
  if (d->waiting * 2 < CROWD * settings.destination_attempts && d->parked != WAITING_NONE)
    wake(d);
  return j;
}

static void start_one(struct spawner *s)
{
  struct destination *d = next_ready(s);
  struct job *j = take_job(d);
  struct job **p;

  j->number = ++last_number;
  p = job_of(j->number);
  j->chain = *p;
  *p = j;
  d->flying++;
  s->flying++;
  s->is_tight |= s->flying * 2 >= *s->limit;
  if (j->work->is_removed) {
    land(j, "removed", 0);
    return;
  }
  if (launch(s, j) == 0) {
    log_attempt(j->work->name.id, d->nexthop, log_num(j->nrcpt));
    join_round(d);
    return;
  }
  s->is_full = errno == EAGAIN;
  land(j, strerror(errno), 0);
}

/* those that were held to few places may have more now */
static void rejoin(struct spawner *s)
{
  if (!s->is_tight || s->flying * 2 >= *s->limit)
    return;
  s->is_tight = 0;
  for (size_t i = 0; i < CHAINS; i++)
    for (struct destination *d = by_name[i]; d; d = d->chain)
      if (&spawner[d->spawner] == s)
        join_round(d);
}

void spawners_run(void)
{
  for (size_t i = 0; i < WORK_SPAWNERS; i++) {
    struct spawner *s = &spawner[i];
    rejoin(s);
    while (s->ready && s->flying < *s->limit && !s->is_full && chan_is_open(&s->chan))
      start_one(s);
  }
}

/* ---- what spawners say */

/* the place in j of recipient number field i of m; -1 when it is not one of the job's */
static long recipient(const struct job *j, const struct wire_msg *m, size_t i)
{
  uint64_t n;

  if (wire_get_num(m, i, SIZE_MAX, &n) != 0)
    return -1;
  for (size_t k = 0; k < j->nrcpt; k++)
    if (j->rcpt[k] == n)
      return (long)k;
  return -1;
}

/* RESULT's fields stand from i on, after the job */
static int on_result(struct job *j, const struct wire_msg *m, size_t i, const char **why)
{
  static stralloc status, reply; /* bound: 4 KiB, wire.def */
  struct result r;
  long place = recipient(j, m, i);

  *why = "RESULT is malformed";
  if (place < 0 || j->told[place] || verdict_read(m->f[i + 1].s, m->f[i + 1].len, &r.verdict) != 0 ||
      wire_get_num(m, i + 2, INT64_MAX, &r.until) != 0 ||
      wire_get_text(m, i + 3, 20, &status) != 0 || wire_get_text(m, i + 4, 4096, &reply) != 0)
    return -1;
  r.is_uncharged = m->n > i + 5 && wire_is(m, i + 5, "uncharged");
  r.how = NOTIFY_NOTHING;
  if (m->n > i + 5 && !r.is_uncharged && notify_read(m->f[i + 5].s, m->f[i + 5].len, &r.how) != 0)
    return -1;
  j->told[place] = 1;
  j->to->is_proven = r.verdict == V_OK;
  r.status = status.s;
  r.reply = reply.s;
  work_result(j, j->rcpt[place], &r);
  return 0;
}

/* STEP and NOTED: five fields of text after the job */
static int on_step(struct job *j, const struct wire_msg *m, const char **why)
{
  static stralloc text[5]; /* bound: 4 KiB, wire.def */
  const char *field[5];

  *why = "STEP or NOTED is malformed";
  for (size_t i = 0; i < 5; i++) {
    if (wire_get_text(m, i + 1, 4096, &text[i]) != 0)
      return -1;
    field[i] = text[i].s;
  }
  (m->type == WIRE_NOTED ? work_noted : work_step)(j, field);
  return 0;
}

static int on_dialogue(struct job *j, const struct wire_msg *m, size_t i, const char **why)
{
  *why = "what was said is malformed";
  if (dialogue_check(m->f[i].s, m->f[i].len) != 0)
    return -1;
  work_spoken(j, m->f[i].s, m->f[i].len);
  return 0;
}

static int on_finished(struct job *j, const struct wire_msg *m, const char **why)
{
  static stralloc outcome;

  if ((m->n > 2 && on_dialogue(j, m, 2, why) != 0) || (m->n > 8 && on_result(j, m, 3, why) != 0))
    return -1;
  *why = "FINISHED is malformed";
  if ((m->n > 3 && m->n < 9) || wire_get_text(m, 1, 1000, &outcome) != 0)
    return -1;
  land(j, strcmp(outcome.s, "reported") == 0 ? NULL : outcome.s, 1);
  return 0;
}

static int on_forgotten(uint64_t number, const struct wire_msg *m, const char **why)
{
  struct asked **p = &asked, *a;
  uint64_t count;

  *why = "FORGOTTEN is malformed";
  while (*p && (*p)->number != number)
    p = &(*p)->next;
  if (!*p || wire_get_num(m, 1, LONG_MAX, &count) != 0)
    return -1;
  a = *p;
  *p = a->next;
  a->told(a->arg, (long)count);
  free(a);
  return 0;
}

static int on_message(struct chan *c, struct wire_msg *m, const char **why)
{
  struct spawner *s = (struct spawner *)c;
  struct job *j;
  uint64_t number;

  *why = "not a job number";
  if (wire_get_num(m, 0, UINT64_MAX, &number) != 0)
    return -1;
  if (m->type == WIRE_FORGOTTEN)
    return on_forgotten(number, m, why);
  j = *job_of(number);
  *why = "no such job";
  if (!j || &spawner[j->to->spawner] != s)
    return -1;
  switch (m->type) {
  case WIRE_RESULT:
    return on_result(j, m, 1, why);
  case WIRE_STEP:
  case WIRE_NOTED:
    return on_step(j, m, why);
  case WIRE_DIALOGUE:
    return on_dialogue(j, m, 1, why);
  default: /* WIRE_FINISHED */
    return on_finished(j, m, why);
  }
}

/* the spawner died: what flew there comes down, to be tried again soon */
static void crash(struct spawner *s)
{
  struct asked *a;

  for (size_t i = 0; i < CHAINS; i++)
    for (struct job *j = by_number[i], *next; j; j = next) {
      next = j->chain;
      if (&spawner[j->to->spawner] == s)
        land(j, "the delivering program was restarted", 0);
    }
  while (s == &spawner[WORK_DELIVER] && (a = asked)) {
    asked = a->next;
    a->told(a->arg, -1);
    free(a);
  }
  s->is_full = 0;
}

static void on_closed(struct chan *c, const char *why)
{
  struct spawner *s = (struct spawner *)c;

  if (why)
    program_fault(s->name, why);
  crash(s);
}

static void on_drained(struct chan *c)
{
  ((struct spawner *)c)->is_full = 0;
}

int spawners_channel(enum work_spawner s, int fd)
{
  static const struct chan_ops ops = {on_message, on_closed, on_drained};

  if (chan_is_open(&spawner[s].chan)) {
    chan_close(&spawner[s].chan);
    crash(&spawner[s]);
  }
  return chan_open(&spawner[s].chan, fd, LINK_ATTEMPTS, WIRE_HIGH, &ops);
}

void spawners_forget(const char *peer, void (*told)(void *arg, long count), void *arg)
{
  struct asked *a = calloc(1, sizeof *a);
  struct wire_out o;

  wire_start(&o, WIRE_FORGET);
  wire_num(&o, ++last_number);
  wire_str(&o, peer);
  if (!a || chan_send(&spawner[WORK_DELIVER].chan, &o, -1) != 0) {
    free(a);
    told(arg, -1);
    return;
  }
  *a = (struct asked){asked, last_number, told, arg};
  asked = a;
}
