/* forward.c - sends a message on to the addresses of an alias, through the intake
 *
 * Runs in heloise-local, in its loop. The intake is trusted more; it parses all of what it
 * gets again. The sender stays as it is; Delivered-To in front shows loops. */
#include "deliver/forward.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/address.h"
#include "common/chan.h"
#include "common/localuser.h"
#include "common/program.h"
#include "common/settings.h"
#include "common/xtext.h"
#include "deliver/deliveredto.h"

#define FRAME 32000
#define PATIENCE_MS (5 * 60 * 1000)
#define TEXT_MAX 400

static struct chan intake = {.fd = -1};
static struct forward *active; /* bound: one per job */
static uint64_t last_number;

static void leave(struct forward *f)
{
  struct forward **p = &active;

  while (*p && *p != f)
    p = &(*p)->next;
  if (*p)
    *p = f->next;
  loop_timer_stop(&f->timer);
  f->state = FORWARD_IDLE;
}

static void finish(struct forward *f, enum verdict v, const char *status, const char *text)
{
  leave(f);
  f->done(f, v, status, text);
}

static void abort_message(const struct forward *f)
{
  struct wire_out o;

  wire_start(&o, WIRE_ABORT);
  wire_num(&o, f->number);
  chan_send(&intake, &o, -1);
}

void forward_cancel(struct forward *f)
{
  if (f->state == FORWARD_IDLE)
    return;
  abort_message(f);
  leave(f);
}

void forward_free(struct forward *f)
{
  forward_cancel(f);
  free(f->to.s);
  free(f->mark.s);
  free(f->orcpt.s);
  f->to = f->mark = f->orcpt = (stralloc){0};
}

static void fire(struct loop_timer *t)
{
  struct forward *f = (struct forward *)((char *)t - offsetof(struct forward, timer));

  abort_message(f);
  finish(f, V_TEMP, "4.3.0", "the queue did not answer in time");
}

/* ---- what is sent, in order; each step is repeated when the channel was full */

static int send_begin(struct forward *f)
{
  char flags[16];
  struct wire_out o;

  envelope_flags_write(flags, f->env->flags);
  wire_start(&o, WIRE_BEGIN);
  wire_num(&o, f->number);
  wire_str(&o, flags);
  wire_str(&o, f->env->sender);
  wire_str(&o, f->env->envid);
  wire_str(&o, f->env->ret);
  wire_str(&o, "alias");
  wire_str(&o, "");
  wire_str(&o, "local");
  wire_num(&o, f->to_count);
  return chan_send(&intake, &o, -1);
}

void forward_notify(char out[FORWARD_NOTIFY], const char *notify, int is_several)
{
  static const char success[] = "SUCCESS";
  const char *s = is_several ? strstr(notify, success) : NULL, *rest = s ? s + strlen(success) : "";

  if (!s) {
    snprintf(out, FORWARD_NOTIFY, "%s", notify);
    return;
  }
  rest += *rest == ',';
  snprintf(out, FORWARD_NOTIFY, "%.*s%s", (int)(s - notify), notify, rest);
  if (*out && out[strlen(out) - 1] == ',')
    out[strlen(out) - 1] = 0;
  if (!*out)
    snprintf(out, FORWARD_NOTIFY, "NEVER");
}

/* the address that the sender wrote, which no one behind the alias knows. 0, or -1 */
static int make_orcpt(struct forward *f)
{
  const struct envelope_rcpt *r = &f->env->rcpt[f->rcpt];

  if (*r->orcpt)
    return stralloc_copys(&f->orcpt, r->orcpt) && stralloc_0(&f->orcpt) ? 0 : -1;
  if (xtext_orcpt(&f->orcpt, r->address) != 0 || !stralloc_0(&f->orcpt))
    return -1;
  if (f->orcpt.len > XTEXT_ORCPT_MAX)
    f->orcpt.s[0] = 0;
  return 0;
}

static int send_rcpt(struct forward *f)
{
  char notify[FORWARD_NOTIFY];
  struct wire_out o;

  forward_notify(notify, f->env->rcpt[f->rcpt].notify, f->is_several);
  wire_start(&o, WIRE_RCPT);
  wire_num(&o, f->number);
  wire_str(&o, f->to.s + f->to_at);
  wire_str(&o, notify);
  wire_str(&o, f->orcpt.s);
  if (chan_send(&intake, &o, -1) != 0)
    return -1;
  f->to_at += strlen(f->to.s + f->to_at) + 1;
  f->to_sent++;
  return 0;
}

static int send_data(struct forward *f, const char *s, size_t len)
{
  struct wire_out o;

  wire_start(&o, WIRE_DATA);
  wire_num(&o, f->number);
  wire_bytes(&o, s, len);
  return chan_send(&intake, &o, -1);
}

static int send_piece(struct forward *f)
{
  static char piece[FRAME];
  uint64_t left = f->env->body_len - f->sent;
  ssize_t n;

  if (f->mark.len > 0) {
    if (send_data(f, f->mark.s, f->mark.len) != 0)
      return -1;
    f->mark.len = 0;
    return 0;
  }
  do
    n = pread(f->fd, piece, left < FRAME ? (size_t)left : FRAME, f->env->body_at + (off_t)f->sent);
  while (n < 0 && errno == EINTR);
  if (n <= 0) {
    errno = EIO;
    return -1;
  }
  if (send_data(f, piece, (size_t)n) != 0)
    return -1;
  f->sent += (uint64_t)n;
  return 0;
}

static int send_commit(struct forward *f)
{
  struct wire_out o;

  wire_start(&o, WIRE_COMMIT);
  wire_num(&o, f->number);
  return chan_send(&intake, &o, -1);
}

/* the next message of f and the state after it */
static int step(struct forward *f)
{
  if (f->state == FORWARD_BEGINNING && f->to_sent == f->to_count) {
    f->state = FORWARD_WAITING;
    return 0;
  }
  if (f->state == FORWARD_BEGINNING)
    return send_rcpt(f);
  if (f->mark.len > 0 || f->sent < f->env->body_len)
    return send_piece(f);
  if (send_commit(f) != 0)
    return -1;
  f->state = FORWARD_COMMITTED;
  return 0;
}

static void push(struct forward *f)
{
  while (f->state == FORWARD_BEGINNING || f->state == FORWARD_SENDING) {
    if (step(f) == 0)
      continue;
    if (errno == EAGAIN || errno == EPIPE)
      return; /* drained() or closed() follows */
    abort_message(f);
    finish(f, V_TEMP, "4.3.0", "the message cannot be read");
    return;
  }
}

void forward_start(struct forward *f)
{
  f->number = ++last_number;
  f->to_at = f->to_sent = 0;
  f->sent = 0;
  f->timer = (struct loop_timer){.fire = fire};
  f->next = active;
  active = f;
  if (deliveredto_field(&f->mark, f->env->rcpt[f->rcpt].address) != 0 || make_orcpt(f) != 0 ||
      loop_timer_in(&f->timer, PATIENCE_MS) != 0) {
    finish(f, V_TEMP, "4.3.0", "out of memory");
    return;
  }
  f->state = FORWARD_BEGINNING;
  if (send_begin(f) != 0) {
    finish(f, V_TEMP, "4.3.0", "the queue takes no messages at the moment");
    return;
  }
  push(f);
}

/* ---- what the intake says */

static struct forward *find(uint64_t number)
{
  struct forward *f = active;

  while (f && f->number != number)
    f = f->next;
  return f;
}

/* "452 4.3.1 text": the enhanced code is taken from its place, or made up */
static void refused(struct forward *f, const struct wire_msg *m)
{
  char text[TEXT_MAX + 1], status[12];
  size_t len = m->f[2].len < TEXT_MAX ? m->f[2].len : TEXT_MAX, n;
  enum verdict v = V_TEMP;

  memcpy(text, m->f[2].s, len);
  text[len] = 0;
  verdict_read(m->f[1].s, m->f[1].len, &v);
  if (v == V_OK)
    v = V_TEMP;
  n = len > 4 ? strcspn(text + 4, " ") : 0;
  if (n >= 5 && n < sizeof status && text[4] == (v == V_PERM ? '5' : '4') && text[5] == '.') {
    memcpy(status, text + 4, n);
    status[n] = 0;
  } else {
    strcpy(status, v == V_PERM ? "5.3.0" : "4.3.0");
  }
  finish(f, v, status, text);
}

static int on_message(struct chan *c, struct wire_msg *m, const char **why)
{
  struct forward *f;
  uint64_t number;
  char text[TEXT_MAX + 1];

  (void)c;
  *why = "a message number that is none";
  if (wire_get_num(m, 0, UINT64_MAX, &number) != 0)
    return -1;
  f = find(number);
  if (!f)
    return 0; /* given up meanwhile */
  *why = "out of order";
  if (m->type == WIRE_REFUSED) {
    refused(f, m);
  } else if (m->type == WIRE_OPENED && f->state == FORWARD_WAITING) {
    f->state = FORWARD_SENDING;
    push(f);
  } else if (m->type == WIRE_DONE && f->state == FORWARD_COMMITTED) {
    size_t n = m->f[1].len < TEXT_MAX ? m->f[1].len : TEXT_MAX;
    memcpy(text, m->f[1].s, n);
    text[n] = 0;
    finish(f, V_OK, "2.0.0", text);
  } else {
    return -1;
  }
  return 0;
}

static void fail_all(void)
{
  struct forward *f;

  while ((f = active))
    finish(f, V_TEMP, "4.3.0", "the queue takes no messages at the moment");
}

static void on_closed(struct chan *c, const char *why)
{
  (void)c;
  if (why)
    program_die("intake", why);
  fail_all();
}

static void on_drained(struct chan *c)
{
  struct forward *next;

  (void)c;
  for (struct forward *f = active; f; f = next) {
    next = f->next;
    push(f);
  }
}

static const struct chan_ops ops = {on_message, on_closed, on_drained};

int forward_channel(int fd)
{
  chan_close(&intake);
  fail_all();
  return chan_open(&intake, fd, LINK_INJECT, WIRE_LOW, &ops);
}

/* ---- addresses */

/* in normal form, as the intake wants it; what is no address cannot be in a built table */
static int add(struct forward *f, const char *s, size_t len, const char *domain)
{
  static struct address a; /* bound: ADDRESS_MAX */
  const char *why;

  if (address_parse(s, len, 0, &a, &why) != 0) {
    errno = EINVAL;
    return -1;
  }
  if (!stralloc_catb(&f->to, a.text.s, a.text.len) ||
      (domain && (!stralloc_cats(&f->to, "@") || !stralloc_cats(&f->to, domain))) ||
      !stralloc_0(&f->to))
    return -1;
  f->to_count++;
  return 0;
}

int forward_addresses(struct forward *f, const char *text, size_t len, const char *self,
                      int *has_self)
{
  const char *s, *domain = strrchr(self, '@');
  size_t at = 0, n, before;

  domain = domain ? domain + 1 : settings.hostname;
  *has_self = 0;
  f->to.len = f->to_count = 0;
  while (localuser_next(text, len, &at, &s, &n)) {
    before = f->to.len;
    if (add(f, s, n, memrchr(s, '@', n) ? NULL : domain) != 0)
      return -1;
    if (strcasecmp(f->to.s + before, self) == 0) {
      *has_self = 1;
      f->to.len = before;
      f->to_count--;
    }
  }
  return 0;
}
