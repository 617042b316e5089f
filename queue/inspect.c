/* inspect.c - what the queue commands show: list, show, why
 *
 * Runs in a child of the manager, or in the command while nothing runs. */
#include "queue/inspect.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "common/json.h"
#include "common/units.h"
#include "common/verdict.h"
#include "queue/show_transcript.h"
#include "queue/sight.h"
#include "queue/story.h"
#include "queue/why.h"

/* what was asked for */
struct wish {
  const char *id;
  int json, wants_transcript;
  unsigned int attempt; /* 0: all */
};

/* ---- list */

struct listing {
  const struct inspect_view *v;
  int json;
  unsigned long messages;
};

/* 0, or -1: nobody reads */
static int list_text(const struct sight *s, int is_first)
{
  const struct inspect_view *v = s->v;
  int r = 0;

  if (is_first)
    r |= inspect_say(v, 0, "%-15s  %-8s  %7s  %8s  %-9s  %s\n", "ID", "STATE", "AGE", "SIZE", "NEXT",
                "SENDER, RECIPIENTS");
  r |= inspect_say(v, 0, "%-15s  %-8s  %7s  %8llu  %-9s  <%s>\n", s->e.id, sight_state(s->m),
              sight_duration(sight_now() > s->e.created ? sight_now() - s->e.created : 0),
              (unsigned long long)s->e.body_len,
              s->m->is_active              ? "-"
              : s->m->due == UINT32_MAX ? "held"
                                        : sight_when(sight_next(s)),
              sight_clean(s->e.sender));
  for (size_t i = 0; i < s->e.nrcpt; i++) {
    const struct envelope_rcpt *rcpt = &s->e.rcpt[i];
    if (envelope_is_closed(rcpt->status))
      continue;
    r |= inspect_say(v, 0, "%57s%s%s%s\n", "", sight_clean(rcpt->address),
                     *sight_reply(s, i) ? ": " : "", sight_reply(s, i));
  }
  return r;
}

static int list_one(void *arg, const struct inspect_message *m)
{
  struct listing *l = arg;
  struct sight s;
  const char *why;
  int r = 0;

  if (sight_open(&s, l->v, m, &why) != 0)
    return 0; /* delivered meanwhile, or `queue` will put it aside */
  if (l->json)
    r = sight_print(l->v, sight_json(&s));
  else
    r = list_text(&s, l->messages == 0);
  l->messages++;
  sight_close(&s);
  return r;
}

static int list(const struct inspect_view *v, const struct wish *w)
{
  struct listing l = {v, w->json, 0};
  int json = w->json;

  v->each(list_one, &l);
  if (!json && l.messages == 0)
    inspect_say(v, 0, "The queue is empty.\n");
  else if (!json)
    inspect_say(v, 0, "%lu message%s.\n", l.messages, l.messages == 1 ? "" : "s");
  return EXIT_OK;
}

/* ---- show */

static int say(void *arg, int depth, const char *sentence)
{
  const struct sight *s = arg;

  inspect_say(s->v, 0, "%s%s\n", depth ? "    " : "  ", sentence);
  return 0;
}

static void show_rcpts(const struct sight *s)
{
  for (size_t i = 0; i < s->e.nrcpt; i++) {
    const struct envelope_rcpt *r = &s->e.rcpt[i];
    inspect_say(s->v, 0, "Recipient:  %s  %s, %u attempt%s%s%s\n", sight_clean(r->address),
                sight_rcpt(r->status), r->attempts, r->attempts == 1 ? "" : "s",
                *sight_reply(s, i) ? ", " : "", sight_reply(s, i));
  }
}

static void show_text(struct sight *s, const struct story *story)
{
  const struct story_teller t = {.e = &s->e, .say = say, .arg = s};
  const struct inspect_view *v = s->v;
  const struct envelope *e = &s->e;

  inspect_say(v, 0, "Id:         %s\nState:      %s\nSender:     <%s>\n", e->id, sight_state(s->m),
              sight_clean(e->sender));
  inspect_say(v, 0, "Created:    %s (%s ago)\n", sight_time(e->created),
              sight_duration(sight_now() > e->created ? sight_now() - e->created : 0));
  if (s->m->due != UINT32_MAX && !s->m->is_active)
    inspect_say(v, 0, "Next:       %s (%s)\n", sight_time(sight_next(s) ? sight_next(s) : e->created),
                sight_when(sight_next(s)));
  inspect_say(v, 0, "Size:       %llu bytes\nFrom:       %s, %s, HELO %s\n",
              (unsigned long long)e->body_len, sight_clean(e->client), sight_clean(e->protocol),
              sight_clean(e->helo));
  inspect_say(v, 0, "Content:    %s%s, longest line %u\n",
              e->content & CONTENT_8BIT_BODY ? "8-bit" : "7-bit",
              e->content & CONTENT_8BIT_HEADER ? " (header too)" : "", e->longest);
  if (*e->envid || *e->ret)
    inspect_say(v, 0, "DSN:        ENVID=%s RET=%s\n", sight_clean(e->envid), e->ret);
  show_rcpts(s);
  inspect_say(v, 0, "History:\n");
  story_tell(story, &t);
}

static int show_json(struct sight *s, const struct story *story)
{
  json_t *o = sight_json(s);

  json_object_set_new(o, "client", json_bytes(s->e.client));
  json_object_set_new(o, "helo", json_bytes(s->e.helo));
  json_object_set_new(o, "protocol", json_bytes(s->e.protocol));
  json_object_set_new(o, "envid", json_bytes(s->e.envid));
  json_object_set_new(o, "ret", json_bytes(s->e.ret));
  json_object_set_new(o, "history", story_json(story));
  return sight_print(s->v, o);
}

static int show(const struct inspect_view *v, const struct wish *w)
{
  struct inspect_message m;
  struct story story = {0};
  struct sight s;
  int r;

  if (w->wants_transcript)
    return show_transcript(v, w->json, w->id, w->attempt);
  r = sight_look(v, w->id, &m, &s);
  if (r != 0)
    return r;
  history_each(s.fd, &s.e, story_note, &story);
  if (w->json)
    show_json(&s, &story);
  else
    show_text(&s, &story);
  story_free(&story);
  sight_close(&s);
  return EXIT_OK;
}

static int why(const struct inspect_view *v, const struct wish *w)
{
  return why_show(v, w->json, w->id);
}

/* ---- for retry */

static int is_at(const char *address, const char *domain)
{
  const char *own = envelope_domain(address);
  size_t len = strlen(own), want = strlen(domain);

  if (domain[0] == '.')
    return len > want && strcasecmp(own + len - want, domain) == 0;
  return strcasecmp(own, domain) == 0;
}

int inspect_concerns(int queue_fd, const struct store_name *n, const char *domain)
{
  struct envelope e;
  const char *why;
  int fd = store_open(queue_fd, n, O_RDONLY), found = 0;

  if (fd < 0)
    return 0;
  if (envelope_read(fd, &e, &why) == 0) {
    for (size_t i = 0; i < e.nrcpt && !found; i++)
      found = e.rcpt[i].status == RCPT_TODO && is_at(e.rcpt[i].address, domain);
    envelope_free(&e);
  }
  close(fd);
  return found;
}

/* ---- verbs */

static const struct {
  const char *verb, *usage;
  int wants_id, has_transcript;
  int (*run)(const struct inspect_view *v, const struct wish *w);
} verbs[] = {{"list", "list [--json]", 0, 0, list},
             {"show", "show ID [--transcript [N]] [--json]", 1, 1, show},
             {"why", "why ID [--json]", 1, 0, why}};

/* the number of an attempt, after --transcript: 0, or -1 when s is none */
static int read_attempt(const char *s, struct wish *w)
{
  uint64_t n;

  if (!w->wants_transcript || w->attempt || units_number(s, strlen(s), &n) != 0 || n == 0 ||
      n > 65535)
    return -1;
  w->attempt = (unsigned int)n;
  return 0;
}

/* 0, or -1: wrong usage */
static int read_wish(size_t k, int argc, const char *const *argv, struct wish *w)
{
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--json") == 0)
      w->json = 1;
    else if (strcmp(argv[i], "--transcript") == 0 && verbs[k].has_transcript)
      w->wants_transcript = 1;
    else if (argv[i][0] == '-' || !verbs[k].wants_id)
      return -1;
    else if (read_attempt(argv[i], w) == 0)
      continue;
    else if (w->id)
      return -1;
    else
      w->id = argv[i];
  }
  return !w->id == !verbs[k].wants_id ? 0 : -1;
}

int inspect_run(const struct inspect_view *v, int argc, const char *const *argv)
{
  struct wish w = {0};
  size_t k = 0;

  while (strcmp(verbs[k].verb, argv[0]) != 0)
    k++;
  if (read_wish(k, argc, argv, &w) == 0)
    return verbs[k].run(v, &w);
  inspect_say(v, 1, "usage: heloise queue %s\n", verbs[k].usage);
  return EXIT_USAGE;
}
