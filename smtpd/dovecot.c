/* dovecot.c - our connection to Dovecot's authentication service
 *
 * Runs in heloise-auth: user hlauth, which must be allowed to open the socket. Dovecot is
 * believed about users; that its lines have the form they should is checked all the same.
 * Passwords go out here, so what was sent is wiped. */
#include "smtpd/dovecot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base64.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/secret.h"
#include "common/settings.h"
#include "common/units.h"
#include "smtpd/authlink.h"
#include "smtpd/backend.h"
#include "smtpd/dovecot_reply.h"

#define LINE_MAX_BYTES 16384
#define OUT_MAX 262144
#define REQUEST_MS 30000
#define AGAIN_MS 2000

static struct loop_handler handler;
static int sock = -1;
static int is_greeted; /* it has said DONE */
static char path[sizeof ((struct sockaddr_un *)0)->sun_path]; /* where sock is connected to */
static stralloc in;    /* bound: LINE_MAX_BYTES and a read */
static stralloc out;   /* bound: OUT_MAX */
static unsigned int offered, coming; /* mechanisms: as last known, and as being listed */
static struct dovecot_request *requests;
static uint32_t last_id;
static struct loop_timer again;
static int is_complained; /* that it is away was said */

unsigned int dovecot_mechanisms(void)
{
  return offered ? offered : MECHANISMS_OF_PASSWORDS;
}

/* ---- requests */

static struct dovecot_request *find(uint32_t id)
{
  struct dovecot_request *r = requests;

  while (r && r->id != id)
    r = r->next;
  return r;
}

static void take_out(struct dovecot_request *r)
{
  struct dovecot_request **at = &requests;

  while (*at != r)
    at = &(*at)->next;
  *at = r->next;
  r->id = 0;
  loop_timer_stop(&r->timer);
}

static void over(struct dovecot_request *r, enum proof_result result, const char *login)
{
  take_out(r);
  r->ops->over(r, result, login);
}

/* ---- the connection */

static void lose(const char *why)
{
  if (sock >= 0)
    loop_close(sock);
  sock = -1;
  is_greeted = 0;
  secret_wipe(&out);
  in.len = 0;
  if (why && !is_complained) {
    is_complained = 1;
    log_failed("auth", settings.auth_dovecot, why);
  }
  while (requests)
    over(requests, PROOF_UNSURE, "");
  if (backend_is_used(BACKEND_DOVECOT))
    loop_timer_in(&again, AGAIN_MS);
}

static void flush(void)
{
  while (out.len > 0) {
    ssize_t n = send(sock, out.s, out.len, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN) {
      loop_drained(sock, LOOP_WRITE);
      loop_want(sock, LOOP_READ | LOOP_WRITE);
      return;
    }
    if (n < 0)
      return; /* the reader will see the end */
    memmove(out.s, out.s + n, out.len - (size_t)n);
    explicit_bzero(out.s + out.len - n, (size_t)n);
    out.len -= (size_t)n;
  }
  loop_want(sock, LOOP_READ);
}

/* appends a text and, where there are any, bytes in base64. Room is taken once: 0, or -1 */
static int put(const char *text, const char *bytes, size_t len)
{
  size_t need = strlen(text) + (len + 2) / 3 * 4 + 2;

  if (sock < 0 || out.len + need > OUT_MAX || (out.a == 0 && !stralloc_ready(&out, OUT_MAX + 1)))
    return -1;
  return stralloc_cats(&out, text) && base64_encode(&out, bytes, len) == 0 && stralloc_cats(&out, "\n") ? 0 : -1;
}

/* ---- what it says */

static void take_version(const struct dovecot_reply *r)
{
  if (r->valuelen != 1 || *r->value != '1')
    lose("it speaks another version of the protocol");
}

static void take_mech(const struct dovecot_reply *r)
{
  enum mechanism m;

  if (mechanism_find(r->value, r->valuelen, &m) == 0 && !mechanism_row(m)->is_bound)
    coming |= MECHANISM_BIT(m);
}

static void take_done(void)
{
  offered = coming;
  is_greeted = 1;
  is_complained = 0;
  authlink_offer();
}

static void take_ok(struct dovecot_request *r, const struct dovecot_reply *reply)
{
  stralloc login = {0};

  if (sasl_login(reply->value, reply->valuelen, &login) == 0)
    over(r, PROOF_YES, login.s);
  else
    over(r, PROOF_UNSURE, "");
  stralloc_free(&login);
}

static void take_cont(struct dovecot_request *r, const struct dovecot_reply *reply)
{
  static stralloc bytes; /* bound: LINE_MAX_BYTES */

  if (base64_decode(reply->value, reply->valuelen, &bytes) == 0)
    r->ops->challenge(r, bytes.len ? bytes.s : "", bytes.len);
  else
    over(r, PROOF_UNSURE, "");
}

static void take_line(const char *line, size_t len)
{
  struct dovecot_reply reply;
  struct dovecot_request *r;

  if (dovecot_reply_read(line, len, &reply) != 0) {
    lose("what it says is not its protocol");
    return;
  }
  r = reply.word >= DOVECOT_OK && reply.word <= DOVECOT_FAIL ? find(reply.id) : NULL;
  switch (reply.word) {
  case DOVECOT_VERSION:
    take_version(&reply);
    break;
  case DOVECOT_MECH:
    take_mech(&reply);
    break;
  case DOVECOT_DONE:
    take_done();
    break;
  case DOVECOT_OK:
    if (r)
      take_ok(r, &reply);
    break;
  case DOVECOT_CONT:
    if (r)
      take_cont(r, &reply);
    break;
  case DOVECOT_FAIL:
    if (r)
      over(r, reply.is_temporary ? PROOF_UNSURE : PROOF_STRANGER, "");
    break;
  default: /* SPID, CUID, COOKIE, and what later versions say */
    break;
  }
}

static void take_lines(void)
{
  size_t at = 0;
  const char *lf;
  int now = sock;

  while (sock == now && (lf = memchr(in.s + at, '\n', in.len - at))) {
    size_t n = (size_t)(lf - in.s) - at;
    take_line(in.s + at, n);
    at += n + 1;
  }
  if (sock != now)
    return;
  memmove(in.s, in.s + at, in.len - at);
  in.len -= at;
  if (in.len > LINE_MAX_BYTES)
    lose("a line of it is too long");
}

static void take_input(void)
{
  ssize_t n;

  if (!stralloc_readyplus(&in, 4096)) {
    lose("out of memory");
    return;
  }
  n = read(sock, in.s + in.len, 4096);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
    if (errno == EAGAIN)
      loop_drained(sock, LOOP_READ);
    return;
  }
  if (n <= 0) {
    lose(n == 0 ? "it closed the connection" : strerror(errno));
    return;
  }
  in.len += (size_t)n;
  take_lines();
}

static void ready(struct loop_handler *h, int fd, int events)
{
  (void)h;
  if (fd != sock)
    return;
  if (events & LOOP_WRITE)
    flush();
  else
    take_input();
}

/* ---- connecting */

static int greet(void)
{
  char text[64];

  snprintf(text, sizeof text, "VERSION\t1\t2\nCPID\t%u", (unsigned int)getpid());
  return put(text, "", 0);
}

static void connect_there(void)
{
  struct sockaddr_un sa = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  snprintf(path, sizeof path, "%s", settings.auth_dovecot);
  snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
  handler.ready = ready;
  if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa) != 0 || loop_add(fd, &handler) != 0) {
    int e = errno;
    if (fd >= 0)
      close(fd);
    lose(strerror(e));
    return;
  }
  sock = fd;
  coming = 0;
  loop_want(sock, LOOP_READ);
  if (greet() == 0)
    flush();
}

static void on_again(struct loop_timer *t)
{
  (void)t;
  dovecot_settle();
}

void dovecot_settle(void)
{
  again.fire = on_again;
  if (sock >= 0 && (!backend_is_used(BACKEND_DOVECOT) || strcmp(path, settings.auth_dovecot) != 0)) {
    offered = 0;
    lose(NULL);
  }
  if (sock < 0 && backend_is_used(BACKEND_DOVECOT)) {
    loop_timer_stop(&again);
    connect_there();
  }
}

/* ---- for back ends and exchanges */

static void on_timer(struct loop_timer *t)
{
  struct dovecot_request *r = (struct dovecot_request *)t;

  dovecot_cancel(r);
  r->ops->over(r, PROOF_UNSURE, "");
}

static uint32_t new_id(void)
{
  do
    last_id++;
  while (last_id == 0 || find(last_id));
  return last_id;
}

int dovecot_start(struct dovecot_request *r, enum mechanism m, const struct proof_client *who,
                  const char *bytes, size_t len)
{
  char text[256], ip[IP_TEXT];

  if (sock < 0 || !is_greeted)
    return -1;
  r->id = new_id();
  ip_format(ip, &who->ip);
  snprintf(text, sizeof text, "AUTH\t%u\t%s\tservice=smtp\tsecured\tnologin\trip=%s\tresp=", r->id,
           mechanism_row(m)->word, ip);
  r->timer.fire = on_timer;
  if (put(text, bytes, len) != 0 || loop_timer_in(&r->timer, REQUEST_MS) != 0) {
    r->id = 0;
    return -1;
  }
  r->next = requests;
  requests = r;
  flush();
  return 0;
}

int dovecot_continue(struct dovecot_request *r, const char *bytes, size_t len)
{
  char text[64];

  if (r->id == 0)
    return -1;
  snprintf(text, sizeof text, "CONT\t%u\t", r->id);
  if (put(text, bytes, len) != 0 || loop_timer_in(&r->timer, REQUEST_MS) != 0) {
    dovecot_cancel(r);
    return -1;
  }
  flush();
  return 0;
}

void dovecot_cancel(struct dovecot_request *r)
{
  char text[64];

  if (r->id == 0)
    return;
  snprintf(text, sizeof text, "CANCEL\t%u", r->id);
  take_out(r);
  if (put(text, "", 0) == 0)
    flush();
}
