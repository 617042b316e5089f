/* mailq.c - the list that mailq(1) prints
 *
 * Runs in a child of the manager, or in the command while nothing runs. The form is the one that
 * Postfix prints and that monitors parse; before its last line stands the count as Sendmail
 * prints it, for those that look for that. A user who may not see the queue sees the messages
 * that were sent in that user's name on this host, and how many there are in all. */
#include "queue/mailq.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/verdict.h"
#include "queue/sight.h"

struct printing {
  const struct inspect_view *v;
  unsigned long messages;
  uint64_t bytes;
};

/* "Thu Jan  1 10:00:00", local time */
static const char *arrival(uint64_t epoch)
{
  static char buf[32];
  time_t t = (time_t)epoch;
  struct tm tm;

  if (!localtime_r(&t, &tm) || strftime(buf, sizeof buf, "%a %b %e %H:%M:%S", &tm) == 0)
    return "?";
  return buf;
}

/* the recipients that are left, each below the reason why */
static void print_rcpts(const struct sight *s)
{
  for (size_t i = 0; i < s->e.nrcpt; i++) {
    const struct envelope_rcpt *r = &s->e.rcpt[i];
    if (r->status != RCPT_TODO && r->status != RCPT_FAILED)
      continue;
    if (*sight_reply(s, i))
      inspect_say(s->v, 0, "%8s(%s)\n", "", sight_reply(s, i));
    inspect_say(s->v, 0, "%40s %s\n", "", sight_clean(r->address));
  }
}

static int is_shown(const struct sight *s)
{
  char client[32];

  snprintf(client, sizeof client, "local:%ld", s->v->only);
  return s->v->only == INSPECT_ALL || strcmp(s->e.client, client) == 0;
}

static int print_one(void *arg, struct sight *s)
{
  struct printing *p = arg;
  enum filter_state state = sight_state(s->m);

  if (p->messages++ == 0)
    inspect_say(p->v, 0, "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n");
  p->bytes += s->e.body_len;
  if (!is_shown(s) || sight_replies(s) != 0)
    return 0;
  inspect_say(p->v, 0, "%s%-2s %8llu %19s  %s\n", s->e.id,
              state == FILTER_ACTIVE ? "*" : state == FILTER_HOLD ? "!" : "",
              (unsigned long long)s->e.body_len, arrival(s->e.created),
              *s->e.sender ? sight_clean(s->e.sender) : "MAILER-DAEMON");
  print_rcpts(s);
  return p->v->print(p->v->arg, "\n", 1, 0);
}

int mailq_show(const struct inspect_view *v, const struct request *q)
{
  struct printing p = {v, 0, 0};

  sight_each(v, &q->filter, print_one, &p);
  if (p.messages == 0) {
    inspect_say(v, 0, "Mail queue is empty\n");
    return EXIT_OK;
  }
  inspect_say(v, 0, "\t\tTotal requests: %lu\n-- %llu Kbytes in %lu Request%s.\n", p.messages,
              (unsigned long long)(p.bytes / 1024), p.messages, p.messages == 1 ? "" : "s");
  return EXIT_OK;
}
