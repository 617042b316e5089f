/* due.c - recipients that are due become jobs
 *
 * Runs in the manager. Recipients are sorted by next hop; those with the same one share jobs
 * of at most attempt-recipients. Routes that say no or hold are dealt with at once. */
#include "queue/due.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <xxhash.h>

#include "common/log.h"
#include "common/program.h"
#include "common/settings.h"
#include "queue/destination.h"
#include "queue/history.h"
#include "queue/spawners.h"
#include "queue/waiting.h"

/* a recipient that is due, with its next hop's hash: equal hops stand together when sorted */
struct due {
  uint64_t hop;
  size_t rcpt;
};

static int by_hop(const void *a, const void *b)
{
  const struct due *x = a, *y = b;

  if (x->hop != y->hop)
    return x->hop < y->hop ? -1 : 1;
  return x->rcpt < y->rcpt ? -1 : x->rcpt > y->rcpt;
}

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

static int add_job(struct work *w, const stralloc *hop, const struct due *due, size_t n)
{
  enum work_spawner s = strcmp(hop->s, "local") == 0 ? WORK_LOCAL : WORK_DELIVER;
  struct job *j = new_job(w, due, n);

  if (j && spawners_add(j, hop->s, hop->len, s) != 0) {
    work_free_job(j);
    j = NULL;
  }
  if (!j)
    return -1;
  w->jobs++;
  for (size_t i = 0; i < n; i++)
    w->busy[due[i].rcpt] = 1;
  return 0;
}

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
  r->status = RCPT_FAILED;
  if (r->attempts < 65535)
    r->attempts++;
  log_bounced(w->name.id, r->address, "error", outcome[2], outcome[4]);
  work_mark(w, i);
  snprintf(number, sizeof number, "%zu", i);
  if (history_line_make(&line, 'o', (uint64_t)time(NULL), r->attempts, outcome, 5) == 0)
    work_story(w, &line);
}

void due_refuse(struct work *w, const char *text)
{
  const struct nexthop no = {.kind = HOP_ERROR, .text = text, .textlen = strlen(text)};

  for (size_t i = 0; i < w->e.nrcpt; i++)
    if (w->e.rcpt[i].status == RCPT_TODO)
      refuse_by_route(w, i, &no);
}

/* finds the next hop of recipient i; routes that say no or hold are dealt with here.
 * 1: it is due at *hop; 0: it is not; -1 ENOMEM */
static int route(struct work *w, size_t i, stralloc *text, uint64_t *hop)
{
  struct nexthop h;

  if (destination_of(program_table(), w->e.rcpt[i].address, &h, text, NULL) != 0)
    return -1;
  *hop = XXH3_64bits(text->s, text->len);
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

/* due[0] .. due[n-1] share a next hop: they become a job, or several. 0, or -1 (ENOMEM) */
static int add_jobs(struct work *w, const struct due *due, size_t n, stralloc *text)
{
  struct nexthop h;
  size_t limit, some;

  if (destination_of(program_table(), w->e.rcpt[due[0].rcpt].address, &h, text, NULL) != 0)
    return -1;
  limit = h.kind == HOP_LOCAL ? 1 : settings.attempt_recipients;
  if (h.kind != HOP_LOCAL && !w->is_hurried &&
      spawners_is_crowded(store_hop_hash(text->s, text->len))) {
    w->crowded_hop = store_hop_hash(text->s, text->len);
    return 0; /* settle() has it wait for room, unless it is busy elsewhere */
  }
  for (; n > 0; due += some, n -= some) {
    some = n < limit ? n : limit;
    if (add_job(w, text, due, some) != 0)
      return -1;
  }
  return 0;
}

int due_jobs(struct work *w)
{
  static stralloc text; /* bound: a next hop's text */
  struct due *due = reallocarray(NULL, w->e.nrcpt, sizeof *due);
  uint64_t t = (uint64_t)time(NULL);
  size_t n = 0, same;
  int r = due ? 0 : -1;

  for (size_t i = 0; r >= 0 && i < w->e.nrcpt; i++) {
    const struct envelope_rcpt *rcpt = &w->e.rcpt[i];
    if (rcpt->status != RCPT_TODO || (!w->is_hurried && rcpt->next > t))
      continue;
    due[n].rcpt = i;
    r = route(w, i, &text, &due[n].hop);
    n += r == 1;
  }
  if (r >= 0)
    qsort(due, n, sizeof *due, by_hop);
  for (size_t i = 0; r >= 0 && i < n; i += same) {
    for (same = 1; i + same < n && due[i + same].hop == due[i].hop;)
      same++;
    r = add_jobs(w, due + i, same, &text);
  }
  free(due);
  return r < 0 ? -1 : 0;
}
