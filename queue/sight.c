/* sight.c - one message as it is shown: read, and put into words
 *
 * Runs in a child of the manager, or in the command while nothing runs. Files are hostile until
 * parsed; everything shown from them is escaped. */
#include "queue/sight.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/json.h"
#include "common/log.h"
#include "common/units.h"
#include "common/verdict.h"
#include "queue/transcript.h"

/* ---- small text */

int inspect_say(const struct inspect_view *v, int error, const char *format, ...)
{
  char *line;
  va_list args;
  int n;

  va_start(args, format);
  n = vasprintf(&line, format, args);
  va_end(args);
  if (n < 0)
    return 0;
  n = v->print(v->arg, line, (size_t)n, error);
  free(line);
  return n;
}

/* s escaped, in one of a few static buffers */
const char *sight_clean(const char *s)
{
  static stralloc buf[8]; /* bound: an address or reply */
  static unsigned int turn;
  stralloc *b = &buf[turn++ % 8];

  if (!stralloc_copys(b, "") || log_escape(b, s, strlen(s)) != 0 || !stralloc_0(b))
    return "?";
  return b->s;
}

const char *sight_duration(uint64_t seconds)
{
  static stralloc buf[4];
  static unsigned int turn;
  stralloc *b = &buf[turn++ % 4];

  if (seconds >= 86400)
    seconds -= seconds % 3600;
  else if (seconds >= 3600)
    seconds -= seconds % 60;
  if (!stralloc_copys(b, "") || units_format_duration(b, seconds) != 0 || !stralloc_0(b))
    return "?";
  return b->s;
}

const char *sight_time(uint64_t epoch)
{
  static stralloc buf[4];
  static unsigned int turn;
  stralloc *b = &buf[turn++ % 4];

  if (!stralloc_copys(b, "") || units_format_time(b, epoch) != 0 || !stralloc_0(b))
    return "?";
  return b->s;
}

uint64_t sight_now(void)
{
  return (uint64_t)time(NULL);
}

/* "in 5m", "now" */
const char *sight_when(uint64_t t)
{
  static char buf[64];

  if (t <= sight_now())
    return "now";
  snprintf(buf, sizeof buf, "in %s", sight_duration(t - sight_now()));
  return buf;
}

enum filter_state sight_state(const struct inspect_message *m)
{
  if (m->is_active)
    return FILTER_ACTIVE;
  switch (m->name.state) {
  case STORE_CUR:
    return FILTER_DEFERRED;
  case STORE_HOLD:
    return FILTER_HOLD;
  default:
    return FILTER_NEW;
  }
}

const char *sight_state_word(const struct inspect_message *m)
{
  return filter_state_word(sight_state(m));
}

uint64_t sight_next(const struct sight *s)
{
  uint64_t next = UINT64_MAX;

  for (size_t i = 0; i < s->e.nrcpt; i++)
    if (s->e.rcpt[i].status == RCPT_TODO && s->e.rcpt[i].next < next)
      next = s->e.rcpt[i].next;
  return next == UINT64_MAX || next < s->m->due ? s->m->due : next;
}

const char *sight_rcpt(enum rcpt_status s)
{
  switch (s) {
  case RCPT_DONE:
  case RCPT_DELIVERED:
  case RCPT_RELAYED:
  case RCPT_EXPANDED:
    return "done";
  case RCPT_FAILED:
  case RCPT_BOUNCED:
    return "failed";
  default:
    return "todo";
  }
}

/* ---- reading */

static int note_reply(void *arg, const struct history_line *l)
{
  struct sight *s = arg;
  uint64_t i;
  const char *reply = l->field[4], *status = l->field[2];

  if (l->kind != 'o' || units_number(l->field[0], strlen(l->field[0]), &i) != 0 || i >= s->e.nrcpt)
    return 0;
  free(s->reply[i]);
  if (asprintf(&s->reply[i], "%s%s%s", status, *status ? " " : "", reply) < 0)
    s->reply[i] = NULL;
  return 0;
}

void sight_close(struct sight *s)
{
  for (size_t i = 0; s->reply && i < s->e.nrcpt; i++)
    free(s->reply[i]);
  free(s->reply);
  envelope_free(&s->e);
  if (s->fd >= 0)
    close(s->fd);
}

/* whether it has another name by now, which is then in s->own. Its record in the journal goes when it is
 * done with, or a file */
static int has_moved(struct sight *s)
{
  int is_flight = s->own.name.state == STORE_FLIGHT;

  if (errno != ENOENT && !(errno == EBADMSG && is_flight && s->v->is_live))
    return 0;
  if (store_find(s->v->queue_fd, s->m->name.id, &s->own.name) == 0 &&
      !(is_flight && s->own.name.state == STORE_FLIGHT))
    return 1;
  errno = ENOENT;
  return 0;
}

int sight_open(struct sight *s, const struct inspect_view *v, const struct inspect_message *m,
               const char **why)
{
  memset(s, 0, sizeof *s);
  s->v = v;
  s->own = *m;
  s->m = &s->own;
  *why = "its file is gone";
  s->fd = store_open(v->queue_fd, &s->own.name, O_RDONLY);
  if (s->fd < 0 && has_moved(s))
    s->fd = store_open(v->queue_fd, &s->own.name, O_RDONLY);
  if (s->fd < 0) {
    if (errno != ENOENT)
      *why = strerror(errno);
    return -1;
  }
  if (envelope_read(s->fd, &s->e, why) != 0) {
    int saved = errno;
    close(s->fd);
    errno = saved;
    return -1;
  }
  return 0;
}

int sight_replies(struct sight *s)
{
  s->reply = calloc(s->e.nrcpt, sizeof *s->reply);
  if (!s->reply)
    return -1;
  history_each(s->fd, &s->e, note_reply, s);
  return 0;
}

const char *sight_reply(const struct sight *s, size_t i)
{
  return s->reply && s->reply[i] ? s->reply[i] : "";
}

/* ---- JSON */

static json_t *rcpts_json(const struct sight *s)
{
  json_t *list = json_array();

  for (size_t i = 0; i < s->e.nrcpt; i++) {
    const struct envelope_rcpt *r = &s->e.rcpt[i];
    json_t *o = json_object();
    json_object_set_new(o, "address", json_bytes(r->address));
    json_object_set_new(o, "state", json_string(sight_rcpt(r->status)));
    json_object_set_new(o, "attempts", json_integer(r->attempts));
    json_object_set_new(o, "last_reply", json_bytes(sight_reply(s, i)));
    json_array_append_new(list, o);
  }
  return list;
}

json_t *sight_json(const struct sight *s)
{
  json_t *o = json_object();
  uint64_t next = sight_next(s);

  json_object_set_new(o, "id", json_string(s->e.id));
  json_object_set_new(o, "sender", json_bytes(s->e.sender));
  json_object_set_new(o, "size", json_integer((json_int_t)s->e.body_len));
  json_object_set_new(o, "created", json_time(s->e.created));
  json_object_set_new(o, "next",
                      next == UINT32_MAX || s->m->is_active ? json_null() : json_time(next ? next : s->e.created));
  json_object_set_new(o, "state", json_string(sight_state_word(s->m)));
  json_object_set_new(o, "recipients", rcpts_json(s));
  return o;
}

int sight_print(const struct inspect_view *v, json_t *o)
{
  stralloc line = {0};
  int r = json_line(&line, o);

  if (r == 0)
    r = v->print(v->arg, line.s, line.len, 0);
  free(line.s);
  return r;
}

static int stop_at_attempt(void *arg, const struct dialogue_attempt *a)
{
  (void)arg;
  (void)a;
  return 1;
}

static int stop_at_line(void *arg, const struct dialogue_line *l)
{
  (void)arg;
  (void)l;
  return 1;
}

/* of one that is done the transcript may still be there */
static void say_absent(const struct inspect_view *v, const char *id)
{
  const struct dialogue_reader r = {stop_at_attempt, stop_at_line, NULL};

  if (transcript_each(v->queue_fd, id, &r) > 0)
    inspect_say(v, 1, "heloise: message %s has left the queue; `heloise queue show %s --transcript` "
                      "tells what was said in its attempts\n", id, id);
  else
    inspect_say(v, 1, "heloise: no message %s is in the queue\n", sight_clean(id));
}

/* finds and opens the message; 0, or the exit code */
int sight_look(const struct inspect_view *v, const char *id, struct inspect_message *m,
                struct sight *s)
{
  const char *why;

  if (v->find(id, m) != 0) {
    say_absent(v, id);
    return EXIT_DATA;
  }
  if (sight_open(s, v, m, &why) != 0) {
    inspect_say(v, 1, "heloise: message %s: %s\n", sight_clean(id), why);
    return EXIT_DATA;
  }
  if (sight_replies(s) != 0) {
    sight_close(s);
    inspect_say(v, 1, "heloise: out of memory\n");
    return EXIT_TEMPFAIL;
  }
  return 0;
}

/* ---- all that are meant */

struct seeking {
  const struct inspect_view *v;
  const struct filter *f;
  int (*take)(void *arg, struct sight *s);
  void *arg;
  uint64_t now, done, total;
};

/* nothing is left to do for it: it is about to leave the queue */
static int is_over(const struct envelope *e)
{
  for (size_t i = 0; i < e->nrcpt; i++)
    if (!envelope_is_closed(e->rcpt[i].status))
      return 0;
  return 1;
}

static int seek_one(void *arg, const struct inspect_message *m)
{
  struct seeking *k = arg;
  const char *why;
  struct sight s;
  int r = 0;

  if (k->v->progress)
    k->v->progress(k->v->arg, k->done++, k->total);
  if (!filter_takes_state(k->f, sight_state(m)))
    return 0;
  if (sight_open(&s, k->v, m, &why) != 0) {
    if (errno != ENOENT) /* else it left meanwhile */
      inspect_say(k->v, 1, "heloise: message %s: %s; `heloise queue verify` says more\n",
                  m->name.id, why);
    return 0;
  }
  if (!is_over(&s.e) && filter_takes(k->f, &s.e, k->now))
    r = k->take(k->arg, &s);
  sight_close(&s);
  return r;
}

int sight_each(const struct inspect_view *v, const struct filter *f,
               int (*take)(void *arg, struct sight *s), void *arg)
{
  struct seeking k = {v, f, take, arg, sight_now(), 0, v->count ? v->count() : 0};

  return v->each(seek_one, &k);
}
