/* spawners.c - the programs that make attempts of jobs
 *
 * Runs in the manager. What deliver and local say is checked here: a result for a job they
 * do not have, or a recipient outside it, is a fault. Whose job is next, schedule.c knows. */
#include "queue/spawners.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/log.h"
#include "common/program.h"
#include "common/settings.h"
#include "common/units.h"
#include "queue/clock.h"
#include "queue/dialogue.h"
#include "queue/schedule.h"

#define CHAINS 4096

struct spawner {
  struct chan chan; /* first */
  const char *name;
  int is_full; /* its channel's queue is; drained() follows */
};

static struct spawner spawner[WORK_SPAWNERS] = {
  [WORK_DELIVER] = {.chan = {.fd = -1}, .name = "deliver"},
  [WORK_LOCAL] = {.chan = {.fd = -1}, .name = "local"},
};
static struct job *by_number[CHAINS];
static uint64_t last_number;
static size_t flying;
static int is_ending;

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

/* ---- jobs that fly, by number */

static struct job **job_of(uint64_t number)
{
  struct job **p = &by_number[number % CHAINS];

  while (*p && (*p)->number != number)
    p = &(*p)->chain;
  return p;
}

static int has_result(const struct job *j)
{
  return memchr(j->told, 1, j->nrcpt) != NULL;
}

static void land(struct job *j, const char *why, int charged)
{
  struct destination *d = j->to;
  int is_doubtful = j->is_doubtful;

  *job_of(j->number) = j->chain;
  flying--;
  if (is_ending && !charged && !has_result(j))
    return; /* its message stays as it is: the next run begins it anew */
  schedule_judge(j);
  work_finished(j, why, charged);
  schedule_landed(d, is_doubtful);
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
    wire_num(&o, j->work->e.created);
    r = chan_send(&s->chan, &o, fd);
  }
  saved = errno;
  close(fd);
  errno = saved;
  return r;
}

static void start(struct spawner *s, struct job *j)
{
  struct job **p;

  j->number = ++last_number;
  p = job_of(j->number);
  j->chain = *p;
  *p = j;
  flying++;
  if (launch(s, j) == 0) {
    log_attempt(j->work->name.id, j->to->nexthop, log_num(j->nrcpt));
    return;
  }
  s->is_full = errno == EAGAIN;
  land(j, strerror(errno), 0);
}

void spawners_run(void)
{
  struct job *j;

  schedule_turn();
  for (size_t i = 0; !is_ending && i < WORK_SPAWNERS; i++) {
    struct spawner *s = &spawner[i];
    while (!s->is_full && chan_is_open(&s->chan) && (j = schedule_next((enum work_spawner)i)))
      start(s, j);
  }
}

int spawners_end(void)
{
  is_ending = 1;
  return flying > 0;
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

/* how it came about, in field i, if there is one */
static int read_how(const struct wire_msg *m, size_t i, struct result *r)
{
  r->how = NOTIFY_NOTHING;
  r->host = HOST_ANSWERED;
  r->is_uncharged = m->n > i && wire_is(m, i, "uncharged");
  if (m->n <= i)
    return 0;
  if (r->is_uncharged || wire_is(m, i, "unreached"))
    r->host = HOST_UNREACHED;
  else if (wire_is(m, i, "lost"))
    r->host = HOST_LOST;
  else if (wire_is(m, i, "ours"))
    r->host = HOST_UNKNOWN;
  else
    return notify_read(m->f[i].s, m->f[i].len, &r->how);
  return 0;
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
  if (read_how(m, i + 5, &r) != 0)
    return -1;
  j->told[place] = 1;
  if (r.host != HOST_UNKNOWN)
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
  land(j, strcmp(outcome.s, "reported") == 0 ? NULL : outcome.s, strcmp(outcome.s, "stopping") != 0);
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

  clock_look(); /* what is told now is told by the clock of now */
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
