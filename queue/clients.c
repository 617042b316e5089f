/* clients.c - those who give the intake messages over channels, and the manager who
 * hears of them
 *
 * Runs in heloise-intake. Clients are hostile: each has its own numbers, a bounded count of
 * open messages, and every field is checked here or in receive.c. */
#include "queue/clients.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/log.h"
#include "common/program.h"
#include "queue/journal_ring.h"
#include "queue/receive.h"

#define CHAINS 256
#define OPEN_MAX_PER_CLIENT 20000 /* messages between BEGIN and their end */
#define NAME_MAX_LEN 23
#define LASTING_MAX 32 /* processes of heloise-smtpd, and heloise-local */
#define RECIPIENTS_MAX 100000 /* recipient-limit is smtpd's to enforce, and may change meanwhile */

struct client;

/* one message a client has open, found by its number */
struct open {
  struct open *next;
  struct client *client;
  uint64_t m;
  struct incoming *in;
  int is_committed;
};

struct client {
  struct chan chan; /* first */
  char name[NAME_MAX_LEN + 1];
  int is_lasting; /* smtpd, smtpd.2, ..., local: its channel is replaced; a bounce's is not */
  size_t count;
  struct open *chain[CHAINS];
};

static struct client *lasting[LASTING_MAX]; /* by name; NULL after the last */
static struct {
  struct chan chan; /* first */
  int owes_rescan;  /* news was dropped while its channel was full or gone */
  unsigned int rescans; /* that it has not answered */
  uint64_t settled; /* a number it has yet to hear of; 0: none */
  unsigned int asked; /* segments it was told to empty */
} manager = {.chan = {.fd = -1}};

/* ---- open messages */

static struct open **find(struct client *c, uint64_t m)
{
  struct open **p = &c->chain[m % CHAINS];

  while (*p && (*p)->m != m)
    p = &(*p)->next;
  return p;
}

static void forget(struct open *o)
{
  struct open **p = find(o->client, o->m);

  *p = o->next;
  o->client->count--;
  free(o);
}

static void drop_all(struct client *c)
{
  for (size_t i = 0; i < CHAINS; i++)
    while (c->chain[i]) {
      struct open *o = c->chain[i];
      if (o->is_committed)
        receive_disown(o->in);
      else
        receive_abort(o->in);
      forget(o);
    }
}

static void answer(struct client *c, struct wire_out *o)
{
  /* a client that does not read its answers is held back by its own socket first */
  if (chan_send(&c->chan, o, -1) != 0 && chan_is_open(&c->chan))
    log_failed("intake", c->name, strerror(errno));
}

static void tell_refused(struct client *c, uint64_t m, enum verdict v, const char *reply)
{
  struct wire_out o;

  wire_start(&o, WIRE_REFUSED);
  wire_num(&o, m);
  wire_str(&o, verdict_word(v));
  wire_str(&o, reply);
  answer(c, &o);
}

static void tell_id(struct client *c, enum wire_type type, uint64_t m, const char *id)
{
  struct wire_out o;

  wire_start(&o, type);
  wire_num(&o, m);
  wire_str(&o, id);
  answer(c, &o);
}

static void send_news(void);

/* the manager has been told when the client is */
static void on_durable(void *owner, struct incoming *in)
{
  struct open *o = owner;

  send_news();
  if (!o)
    return;
  tell_id(o->client, WIRE_DONE, o->m, receive_id(in));
  forget(o);
}

static void on_refused(void *owner, struct incoming *in, enum verdict v, const char *reply)
{
  struct open *o = owner;

  (void)in;
  tell_refused(o->client, o->m, v, reply);
  forget(o); /* what its client sent before it heard of this is ignored */
}

static const struct receive_ops client_messages = {clients_news, on_durable, on_refused, RECEIVE_REFUSES};
static const struct receive_ops reports = {clients_news, on_durable, on_refused, RECEIVE_TAKES};

/* ---- messages from clients */

struct texts {
  stralloc t[8];
};

/* fields `from`... of m as texts; 0, or -1 */
static int get_texts(const struct wire_msg *m, size_t from, size_t n, struct texts *t)
{
  for (size_t i = 0; i < n; i++)
    if (wire_get_text(m, from + i, 1024, &t->t[i]) != 0)
      return -1;
  return 0;
}

/* a recipient, in three fields from `from` on */
static int rcpt(struct open *o, const struct wire_msg *m, size_t from, const char **why)
{
  static struct texts t;

  *why = "RCPT is malformed";
  if (get_texts(m, from, 3, &t) != 0 || receive_rcpt(o->in, t.t[0].s, t.t[1].s, t.t[2].s) != 0)
    return -1;
  if (receive_missing_rcpts(o->in) == 0)
    tell_id(o->client, WIRE_OPENED, o->m, receive_id(o->in));
  return 0;
}

static int begin(struct client *c, struct wire_msg *m, uint64_t number, const char **why)
{
  static struct texts t; /* bound: 1 KiB a field */
  struct envelope_new n = {0};
  struct open *o;
  const char *reply;
  uint64_t nrcpt;

  *why = "BEGIN is malformed";
  if (*find(c, number) || c->count >= OPEN_MAX_PER_CLIENT || get_texts(m, 1, 7, &t) != 0 ||
      envelope_flags_read(t.t[0].s, t.t[0].len, &n.flags) != 0 ||
      wire_get_num(m, 8, RECIPIENTS_MAX, &nrcpt) != 0)
    return -1;
  n.sender = t.t[1].s;
  n.envid = t.t[2].s;
  n.ret = t.t[3].s;
  n.client = t.t[4].s;
  n.helo = t.t[5].s;
  n.protocol = t.t[6].s;
  o = calloc(1, sizeof *o);
  if (!o) {
    tell_refused(c, number, V_TEMP, "452 4.3.2 Out of memory; try again later");
    return 0;
  }
  o->client = c;
  o->m = number;
  o->in = receive_begin(&n, nrcpt, c->is_lasting ? &client_messages : &reports, o, &reply);
  if (!o->in) {
    tell_refused(c, number, verdict_of_reply((unsigned int)atoi(reply)), reply);
    free(o);
    return 0;
  }
  o->next = c->chain[number % CHAINS];
  c->chain[number % CHAINS] = o;
  c->count++;
  if (m->n == 9)
    return 0;
  *why = "BEGIN is malformed";
  return m->n == 12 ? rcpt(o, m, 9, why) : -1;
}

static int data(struct open *o, struct wire_msg *m, const char **why)
{
  *why = "DATA before all recipients";
  if (receive_missing_rcpts(o->in) != 0)
    return -1;
  receive_data(o->in, m->f[1].s, m->f[1].len);
  return 0;
}

static int commit(struct open *o)
{
  o->is_committed = 1;
  receive_commit(o->in);
  return 0;
}

static int abort_message(struct open *o)
{
  receive_abort(o->in);
  forget(o);
  return 0;
}

static int on_client_message(struct chan *chan, struct wire_msg *m, const char **why)
{
  struct client *c = (struct client *)chan;
  struct open *o;
  uint64_t number;

  *why = "not a message number";
  if (wire_get_num(m, 0, UINT64_MAX, &number) != 0)
    return -1;
  if (m->type == WIRE_BEGIN)
    return begin(c, m, number, why);
  o = *find(c, number);
  if (!o)
    return 0; /* refused already: sent before the client heard of it */
  *why = "the message was committed already";
  if (o->is_committed)
    return -1;
  switch (m->type) {
  case WIRE_RCPT:
    return rcpt(o, m, 1, why);
  case WIRE_DATA:
    return data(o, m, why);
  case WIRE_COMMIT:
    return commit(o);
  default: /* WIRE_ABORT */
    return abort_message(o);
  }
}

static void on_client_closed(struct chan *chan, const char *why)
{
  struct client *c = (struct client *)chan;

  drop_all(c);
  if (why && c->is_lasting)
    program_fault(c->name, why);
  else if (why)
    log_fault("intake", c->name, why);
  if (!c->is_lasting)
    free(c);
}

static const struct chan_ops client_ops = {on_client_message, on_client_closed, NULL};

static int open_client(struct client *c, int fd)
{
  drop_all(c);
  chan_close(&c->chan);
  return chan_open(&c->chan, fd, LINK_INJECT, WIRE_HIGH, &client_ops);
}

/* the one with this name, made when it is new; NULL: there cannot be more */
static struct client *lasting_client(const char *name)
{
  struct client **c = lasting;

  while (c < lasting + LASTING_MAX && *c && strcmp((*c)->name, name) != 0)
    c++;
  if (c == lasting + LASTING_MAX || strlen(name) > NAME_MAX_LEN)
    return NULL;
  if (!*c && (*c = calloc(1, sizeof **c))) {
    strcpy((*c)->name, name);
    (*c)->chan.fd = -1;
    (*c)->is_lasting = 1;
  }
  return *c;
}

/* ---- the manager */

#define NEWS_LINE (STORE_ID_LEN + 1 + 1 + 3 * UNITS_DIGITS)
#define NOTE_LEN (1 + STORE_ID_LEN)

static stralloc news; /* bound: NEWS_MAX and a line */
#define NEWS_MAX 30000

static void send_news(void)
{
  struct wire_out o;

  if (news.len == 0)
    return;
  wire_start(&o, WIRE_COMMITTED);
  wire_bytes(&o, news.s, news.len);
  if (chan_send(&manager.chan, &o, -1) != 0)
    manager.owes_rescan = 1; /* full or gone: it will look for itself */
  news.len = 0;
}

void clients_news(const struct incoming *in)
{
  const struct flight *f = receive_place(in);
  char line[NEWS_LINE];
  int n;

  if (f && !ring_is_live(receive_id(in)))
    return; /* it found it by itself, and is done with it */
  if (f)
    n = snprintf(line, sizeof line, "%s %u %u %u\n", receive_id(in), f->segment, f->at, f->len);
  else
    n = snprintf(line, sizeof line, "%s\n", receive_id(in));
  if (!stralloc_catb(&news, line, (size_t)n))
    manager.owes_rescan = 1;
  else if (news.len > NEWS_MAX)
    send_news();
}

static int tell(enum wire_type type, uint64_t number, int has_number)
{
  struct wire_out o;

  wire_start(&o, type);
  if (has_number)
    wire_num(&o, number);
  return chan_send(&manager.chan, &o, -1);
}

static void settle_news(void)
{
  if (!manager.owes_rescan || tell(WIRE_RESCAN, 0, 0) != 0)
    return;
  manager.owes_rescan = 0;
  manager.rescans++;
  ring_hold(1);
}

/* has it file what stands in the way of the journal's next round */
static void ask_for_files(void)
{
  unsigned int wanted = ring_wanted();

  manager.asked &= wanted; /* emptied since */
  for (unsigned int i = 0; i < JOURNAL_SEGMENTS; i++)
    if ((wanted & ~manager.asked & 1U << i) && tell(WIRE_FILE, i, 1) == 0)
      manager.asked |= 1U << i;
}

void clients_turn(void)
{
  uint64_t settled = ring_settled();

  send_news();
  if (settled)
    manager.settled = settled;
  if (!chan_is_open(&manager.chan))
    return;
  if (manager.settled && tell(WIRE_SETTLED, manager.settled, 1) == 0)
    manager.settled = 0;
  settle_news();
  ask_for_files();
}

static int on_notes(const struct wire_msg *m)
{
  const char *s = m->f[1].s;
  uint64_t seq;

  if (wire_get_num(m, 0, INT64_MAX, &seq) != 0 || seq == 0 || m->f[1].len % NOTE_LEN != 0)
    return -1;
  for (const char *end = s + m->f[1].len; s < end; s += NOTE_LEN) {
    char id[STORE_ID_LEN + 1] = "";
    memcpy(id, s + 1, STORE_ID_LEN);
    if ((*s != JOURNAL_DONE && *s != JOURNAL_FILED) || !store_is_id(id, STORE_ID_LEN))
      return -1;
    ring_note((enum journal_type)*s, id, seq++);
  }
  return 0;
}

/* CLIENT: a channel for a bounce the manager starts */
static int on_new_client(struct wire_msg *m)
{
  struct client *fresh = calloc(1, sizeof *fresh);
  static stralloc name;

  if (!fresh)
    return 0; /* the bounce sees its channel closed and is tried again */
  if (wire_get_text(m, 0, NAME_MAX_LEN, &name) != 0) {
    free(fresh);
    return -1;
  }
  strcpy(fresh->name, name.s);
  fresh->chan.fd = -1;
  if (open_client(fresh, m->fd) != 0)
    free(fresh);
  m->fd = -1;
  return 0;
}

static int on_manager_message(struct chan *c, struct wire_msg *m, const char **why)
{
  (void)c;
  switch (m->type) {
  case WIRE_NOTES:
    *why = "NOTES are malformed";
    return on_notes(m);
  case WIRE_RESCANNED:
    *why = "RESCANNED without RESCAN";
    if (manager.rescans == 0)
      return -1;
    ring_hold(--manager.rescans > 0);
    return 0;
  default: /* WIRE_CLIENT */
    *why = "client's name";
    return on_new_client(m);
  }
}

/* ---- the end: the manager ends first, and what it said until then is written */

static int is_ending;

void clients_stop(void)
{
  is_ending = 1;
  if (!chan_is_open(&manager.chan))
    program_done();
}

/* a manager is gone: its numbers mean nothing any more, and the next one knows nothing */
static void forget_manager(void)
{
  manager.owes_rescan = 1;
  manager.rescans = 0;
  manager.settled = 0;
  manager.asked = 0;
  ring_hold(0);
  ring_forget_seqs();
}

static void on_manager_closed(struct chan *c, const char *why)
{
  (void)c;
  if (why)
    program_die("queue", why);
  forget_manager();
  if (is_ending)
    program_done();
}

static const struct chan_ops manager_ops = {on_manager_message, on_manager_closed, NULL};

int clients_channel(const char *peer, int fd)
{
  if (strcmp(peer, "queue") != 0) {
    struct client *c = lasting_client(peer);
    return c ? open_client(c, fd) : close(fd);
  }
  chan_drain(&manager.chan); /* what the old one said counts */
  chan_close(&manager.chan);
  forget_manager();
  return chan_open(&manager.chan, fd, LINK_NEWS, WIRE_LOW, &manager_ops);
}
