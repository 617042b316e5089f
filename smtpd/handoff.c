/* handoff.c - messages on their way to the intake: our end of the INJECT channel
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. The intake is trusted more than
 * we are; a message for a number we gave up is no fault of its, any other misfit ends us. */
#include "smtpd/handoff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/chan.h"
#include "common/program.h"
#include "smtpd/slots.h"

#define TEXT_MAX 1024

static struct chan chan = {.fd = -1};
static struct slots slots;
static struct handoff *first, *last; /* want room */
static uint64_t *unsaid;             /* numbers to ABORT when there is room; bound: one per session */
static size_t nunsaid, unsaid_room;

static void stop_waiting(struct handoff *h)
{
  struct handoff *before = NULL;

  for (struct handoff *at = first; at != h; at = at->next)
    before = at;
  if (before)
    before->next = h->next;
  else
    first = h->next;
  if (last == h)
    last = before;
  h->wants_room = 0;
}

static void wait_for_room(struct handoff *h)
{
  if (h->wants_room)
    return;
  h->wants_room = 1;
  h->next = NULL;
  if (last)
    last->next = h;
  else
    first = h;
  last = h;
}

static void release(struct handoff *h)
{
  if (h->state == HANDOFF_IDLE)
    return;
  slots_free(&slots, h->number);
  if (h->wants_room)
    stop_waiting(h);
  h->state = HANDOFF_IDLE;
}

/* ---- what the intake says */

static int on_opened(struct handoff *h, const char *id)
{
  if (h->state != HANDOFF_OPENING || h->at < h->rcpts->len)
    return -1;
  h->state = HANDOFF_OPEN;
  h->ops->opened(h, id);
  return 0;
}

static int on_done(struct handoff *h, const char *id)
{
  if (h->state != HANDOFF_CLOSING)
    return -1;
  release(h);
  h->ops->done(h, id);
  return 0;
}

static int on_message(struct chan *c, struct wire_msg *m, const char **why)
{
  static stralloc text; /* bound: TEXT_MAX */
  struct handoff *h;
  uint64_t number;

  (void)c;
  *why = "bad message number or text";
  if (wire_get_num(m, 0, UINT64_MAX, &number) != 0 ||
      wire_get_text(m, m->type == WIRE_REFUSED ? 2 : 1, TEXT_MAX, &text) != 0)
    return -1;
  h = slots_find(&slots, number);
  if (!h)
    return 0;
  *why = "answer out of order";
  if (m->type == WIRE_OPENED)
    return on_opened(h, text.s);
  if (m->type == WIRE_DONE)
    return on_done(h, text.s);
  release(h);
  h->ops->refused(h, text.s);
  return 0;
}

static void lose_all(void)
{
  nunsaid = 0;
  for (size_t i = 0; i < slots.n; i++) {
    struct handoff *h = slots.slot[i].owner;
    if (!h)
      continue;
    release(h);
    h->ops->lost(h);
  }
}

static void on_closed(struct chan *c, const char *why)
{
  (void)c;
  if (why)
    program_die("intake", why);
  lose_all();
}

/* ---- what we say */

/* adds the next recipient to a message; it counts as sent when that is */
static size_t add_rcpt(struct wire_out *o, const struct handoff *h)
{
  const char *part = h->rcpts->s + h->at;

  for (int i = 0; i < 3; i++) {
    wire_str(o, part);
    part += strlen(part) + 1;
  }
  return (size_t)(part - h->rcpts->s);
}

/* the recipients not sent yet. 0, or -1 with errno. */
static int send_rcpts(struct handoff *h)
{
  while (h->at < h->rcpts->len) {
    struct wire_out o;
    size_t next;

    wire_start(&o, WIRE_RCPT);
    wire_num(&o, h->number);
    next = add_rcpt(&o, h);
    if (chan_send(&chan, &o, -1) != 0)
      return -1;
    h->at = next;
  }
  return 0;
}

static int send_number(enum wire_type type, uint64_t number)
{
  struct wire_out o;

  wire_start(&o, type);
  wire_num(&o, number);
  return chan_send(&chan, &o, -1);
}

/* an ABORT that finds no room is said later: the intake must not keep the message open */
static void say_abort(uint64_t number)
{
  if (send_number(WIRE_ABORT, number) == 0 || errno != EAGAIN)
    return;
  if (nunsaid == unsaid_room) {
    size_t room = unsaid_room ? unsaid_room * 2 : 64;
    uint64_t *bigger = reallocarray(unsaid, room, sizeof *unsaid);
    if (!bigger)
      return;
    unsaid = bigger;
    unsaid_room = room;
  }
  unsaid[nunsaid++] = number;
}

static void go_on(struct handoff *h)
{
  if (h->state != HANDOFF_OPENING) {
    h->ops->room(h);
    return;
  }
  if (send_rcpts(h) == 0)
    return;
  if (errno == EAGAIN) {
    wait_for_room(h);
    return;
  }
  handoff_abort(h);
  h->ops->lost(h);
}

/* those that wait go on in the order they came, until the channel is full again */
static void on_drained(struct chan *c)
{
  while (nunsaid > 0 && !c->wants_room && send_number(WIRE_ABORT, unsaid[nunsaid - 1]) == 0)
    nunsaid--;
  while (first && !c->wants_room && chan_is_open(c)) {
    struct handoff *h = first;
    stop_waiting(h);
    go_on(h);
  }
}

static const struct chan_ops ops = {on_message, on_closed, on_drained};

int handoff_channel(int fd)
{
  chan_close(&chan);
  lose_all();
  return chan_open(&chan, fd, LINK_INJECT, WIRE_LOW, &ops);
}

int handoff_open(struct handoff *h, const struct handoff_mail *m)
{
  const char *const texts[] = {m->flags,  m->sender, m->envid,   m->ret,
                               m->client, m->helo,   m->protocol};
  struct wire_out o;
  size_t next;

  if (!chan_is_open(&chan) || slots_take(&slots, h, &h->number) != 0)
    return -1;
  h->state = HANDOFF_OPENING;
  h->rcpts = m->rcpts;
  h->at = 0;
  wire_start(&o, WIRE_BEGIN);
  wire_num(&o, h->number);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    wire_str(&o, texts[i]);
  wire_num(&o, m->nrcpt);
  next = add_rcpt(&o, h);
  if (chan_send(&chan, &o, -1) != 0) {
    release(h);
    return -1;
  }
  h->at = next;
  if (send_rcpts(h) == 0)
    return 0;
  if (errno == EAGAIN) {
    wait_for_room(h);
    return 0;
  }
  handoff_abort(h);
  return -1;
}

int handoff_data(struct handoff *h, const char *bytes, size_t len)
{
  struct wire_out o;

  errno = EPIPE;
  if (h->state != HANDOFF_OPEN)
    return -1;
  wire_start(&o, WIRE_DATA);
  wire_num(&o, h->number);
  wire_bytes(&o, bytes, len);
  if (chan_send(&chan, &o, -1) == 0)
    return 0;
  if (errno == EAGAIN)
    wait_for_room(h);
  return -1;
}

int handoff_commit(struct handoff *h)
{
  errno = EPIPE;
  if (h->state != HANDOFF_OPEN)
    return -1;
  if (send_number(WIRE_COMMIT, h->number) == 0) {
    h->state = HANDOFF_CLOSING;
    return 0;
  }
  if (errno == EAGAIN)
    wait_for_room(h);
  return -1;
}

void handoff_abort(struct handoff *h)
{
  if (h->state == HANDOFF_OPENING || h->state == HANDOFF_OPEN)
    say_abort(h->number);
  release(h);
}
