/* test_attempt.c - attempts against scripted peers, without the other programs
 *
 * Each case scripts a peer's connections; the attempt runs in a process of its own, as it
 * does in heloise-deliver. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ifaddrs.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>

#include <cmocka.h>

#include "common/chan.h"
#include "common/settings.h"
#include "deliver/attempt.h"
#include "deliver/targets.h"

/* a script: steps separated by ';'
 *   >TEXT   send TEXT and CR LF      ?TEXT  read a line that begins with TEXT
 *   !       close                    ~      reset
 *   _       wait 300 ms
 *   .       read up to CR LF . CR LF #      say nothing, wait for the client to go
 * connections are separated by '|' */
#define GOOD "?MAIL;>250 ok;?RCPT;>250 ok;?DATA;>354 go;.;>250 2.6.0 done;?QUIT;>221 bye"
#define EHLO_LOST ">220 mx;?EHLO;"
#define HELO_WORKS ">220 mx;?HELO our.example;>250 mx;" GOOD

struct scenario {
  const char *row, *script;
  const char *sender; /* NULL: user@our.example */
  const char *body;   /* NULL: a plain one */
  unsigned int content, tries, age, flags;
  enum { NO_FAULT, NO_DESCRIPTORS, SHORT_FILE } fault; /* of this host */
  const char *rcpt;   /* NULL: one */
  const char *said;   /* "ok 2.6.0" for each recipient, separated by ',' */
  const char *learned; /* words of facts, each with a space after it; "" for none */
  unsigned int wait;  /* seconds until the next attempt; 0: not looked at */
  const char *body_seen; /* what the last message must be, NULL: not looked at */
  const char *policy;    /* eightbit-signed */
  const char *how;       /* RESULT's, of the last; NULL: not looked at */
};

#define EIGHT "Subject: x\r\n\r\ngr\xc3\xbc\xc3\x9f\r\n"
#define SIGNED "DKIM-Signature: v=1\r\n" EIGHT
#define BATCH ">220 mx;?EHLO;>250-mx\r\n250 PIPELINING;"

static const struct scenario cases[] = {
  {.row = "plain", .script = ">220 mx;?EHLO our.example;>250 mx;" GOOD, .said = "ok 2.6.0"},
  {.row = "no sender", .script = ">220 mx;?EHLO;>250 mx;?MAIL FROM:<>;>250 ok;?RCPT;>250 ok;"
                                 "?DATA;>354 go;.;>250 ok", .sender = "", .said = "ok 2.0.0"},
  {.row = "E1", .script = EHLO_LOST ">500 what;?HELO;>250 mx;" GOOD, .said = "ok 2.6.0",
   .learned = "helo-only "},
  {.row = "E7", .script = EHLO_LOST ">550 Huh?;!|" HELO_WORKS, .said = "ok 2.6.0",
   .learned = "helo-only "},
  {.row = "E7 no sender", .script = EHLO_LOST ">550 Huh?;!|" HELO_WORKS, .sender = "",
   .said = "ok 2.6.0", .learned = "helo-only "},
  {.row = "E9", .script = EHLO_LOST "!|" HELO_WORKS, .said = "ok 2.6.0",
   .learned = "ehlo-drop helo-only "},
  {.row = "E10", .script = EHLO_LOST "~|" HELO_WORKS, .said = "ok 2.6.0",
   .learned = "ehlo-drop helo-only "},
  {.row = "E12", .script = EHLO_LOST ">250-mx;!|" HELO_WORKS, .said = "ok 2.6.0",
   .learned = "ehlo-drop helo-only "},
  {.row = "E9 for ever", .script = EHLO_LOST "!|>220 mx;?HELO;!", .said = "temp 4.4.2",
   .learned = "ehlo-drop "},
  {.row = "E11", .script = EHLO_LOST "#", .said = "temp 4.4.2", .learned = "ehlo-hang "},
  {.row = "E8", .script = EHLO_LOST ">421 4.3.2 later", .said = "temp 4.3.2",
   .learned = "soft-hit "},
  {.row = "H4", .script = EHLO_LOST ">500 no;?HELO;>503 no;?RSET;>250 ok;?HELO;>250 mx;" GOOD,
   .said = "ok 2.6.0", .learned = "needs-rset "},
  {.row = "E3", .script = EHLO_LOST ">501 Invalid Address;?HELO;>501 Invalid Address;"
                          "?EHLO [127.0.0.1];>250 mx;" GOOD,
   .said = "ok 2.6.0", .learned = "name-refused literal-name "},
  {.row = "E33", .script = EHLO_LOST ">501 bad name;!|>220 mx;?EHLO [127.0.0.1];>250 mx;" GOOD,
   .said = "ok 2.6.0", .learned = "name-refused literal-name "},
  {.row = "B3", .script = ">421 busy", .said = "temp 4.3.2", .learned = "soft-hit "},
  {.row = "B5 young", .script = ">554 5.7.1 go away", .said = "temp 4.7.1", .learned = "host5 ",
   .tries = 9},
  {.row = "B5 old", .script = ">554 5.7.1 go away", .said = "perm 5.7.1", .learned = "host5 ",
   .tries = 2, .age = 20000},
  {.row = "B5 old, second try", .script = ">554 5.7.1 go away", .said = "temp 4.7.1",
   .learned = "host5 ", .tries = 1, .age = 20000},
  {.row = "B7", .script = ">521 no mail here", .said = "perm 5.3.2", .learned = "no-mail "},
  {.row = "A5", .script = "!", .said = "temp 4.4.2", .learned = "soft-hit "},
  {.row = "B13", .script = ">SSH-2.0-x", .said = "temp 4.4.2", .learned = "not-smtp "},
  {.row = "D2", .script = ">220 mx;?EHLO;>250 mx;?MAIL;>550 5.7.1 not you", .said = "perm 5.7.1"},
  {.row = "D3", .script = ">220 mx;?EHLO;>250 mx;?MAIL;!", .said = "temp 4.4.2",
   .how = "lost"},
  {.row = "D5", .script = ">220 mx;?EHLO;>250 mx;?MAIL;>250 ok;?RCPT TO:<a@>;>550 5.1.1 no;"
                          "?RCPT;>250 ok;?DATA;>354 go;.;>250 ok",
   .rcpt = "a@,b@", .said = "perm 5.1.1,ok 2.0.0"},
  {.row = "D4", .script = ">220 mx;?EHLO;>250 mx;?MAIL;>250 ok;?RCPT TO:<a@>;>450 4.2.0 wait;"
                          "?RCPT;>250 ok;?DATA;>354 go;.;>250 ok",
   .rcpt = "a@,b@", .said = "ok 2.0.0,temp 4.2.0"},
  {.row = "D8, and 421", .script = ">220 mx;?EHLO;>250 mx;?MAIL;>250 ok;?RCPT;>250 ok;?DATA;>421 4.7.0 no",
   .said = "temp 4.7.0", .how = ""},
  {.row = "D9, cut off at DATA", .script = ">220 mx;?EHLO;>250 mx;?MAIL;>250 ok;?RCPT;>250 ok;?DATA;!",
   .said = "temp 4.4.2", .how = ""},
  {.row = "D7", .script = ">220 mx;?EHLO;>250 mx;?MAIL;>250 ok;?RCPT;>421 4.3.2 later;"
                          "?QUIT;>221 bye",
   .said = "temp 4.3.2", .how = "lost"},
  {.row = "D14", .script = ">220 mx;?EHLO;>250 mx;?MAIL;>250 ok;?RCPT;>250 ok;?DATA;>354 go;.;!",
   .said = "temp 4.4.2", .learned = "dot-lost "},
  {.row = "D16", .script = ">220 mx;?EHLO;>250 mx;?MAIL;>250 ok;?RCPT;>250 ok;?DATA;>354 go;.;"
                           ">554 5.6.0 no", .said = "perm 5.6.0"},
  {.row = "D17", .script = ">220 mx;?EHLO;>250 mx;?MAIL;>250 ok;?RCPT;>250 ok;?DATA;>354 go;.;"
                           ">x\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\n250 ok", .said = "ok 2.0.0",
   .learned = "no-pipelining "},
  {.row = "D19", .script = ">220 mx;?EHLO;>250 mx;?MAIL;>250 ok;?RCPT;>250 ok;?DATA;>354 go;.;"
                           ">354 more", .said = "temp 4.0.0", .learned = "dot-lost "},
  {.row = "X14", .script = ">220 mx;?EHLO;>250 mx;" GOOD, .body = EIGHT,
   .content = CONTENT_8BIT_BODY, .said = "ok 2.6.0"},
  {.row = "8BITMIME", .script = ">220 mx;?EHLO;>250-mx\r\n250 8bitmime;"
                                "?MAIL FROM:<user@our.example> BODY=8BITMIME;>250 ok;?RCPT;>250 ok;"
                                "?DATA;>354 go;.;>250 ok",
   .body = EIGHT, .content = CONTENT_8BIT_BODY, .said = "ok 2.0.0", .body_seen = EIGHT ".\r\n"},
  {.row = "X15", .script = ">220 mx;?EHLO;>250-mx\r\n250 8BITMIME;"
                           "?MAIL FROM:<user@our.example> BODY=8BITMIME;>555 no;?RSET;>250 ok;"
                           "?MAIL FROM:<user@our.example>\r;>250 ok;?RCPT;>250 ok;?DATA;>354 go;.;"
                           ">250 ok",
   .body = EIGHT, .content = CONTENT_8BIT_BODY, .said = "ok 2.0.0", .learned = "no-8bitmime "},
  {.row = "X16", .script = ">220 mx;?EHLO;>250-mx\r\n250 8BITMIME;?MAIL;!|"
                           ">220 mx;?EHLO;>250-mx\r\n250 8BITMIME;?MAIL FROM:<user@our.example>\r;"
                           ">250 ok;?RCPT;>250 ok;?DATA;>354 go;.;>250 ok",
   .body = EIGHT, .content = CONTENT_8BIT_BODY, .said = "ok 2.0.0", .learned = "no-8bitmime "},
  {.row = "X14 signed, no other host", .script = ">220 mx;?EHLO;>250 mx;" GOOD, .body = SIGNED,
   .content = CONTENT_8BIT_BODY, .said = "ok 2.6.0", .policy = "other-mx"},
  {.row = "X14 signed, convert", .script = ">220 mx;?EHLO;>250 mx;" GOOD, .body = SIGNED,
   .content = CONTENT_8BIT_BODY, .said = "ok 2.6.0", .policy = "convert"},
  {.row = "X14 signed, send", .script = ">220 mx;?EHLO;>250 mx;?MAIL FROM:<user@our.example>\r;"
                                        ">250 ok;?RCPT;>250 ok;?DATA;>354 go;.;>250 ok",
   .body = SIGNED, .content = CONTENT_8BIT_BODY, .said = "ok 2.0.0", .policy = "send",
   .body_seen = SIGNED ".\r\n"},
  {.row = "X14 signed, bounce", .script = ">220 mx;?EHLO;>250 mx;?QUIT;>221 bye", .body = SIGNED,
   .content = CONTENT_8BIT_BODY, .said = "perm 5.6.3", .policy = "bounce", .body_seen = ""},
  {.row = "X14 not signed, bounce", .script = ">220 mx;?EHLO;>250 mx;" GOOD, .body = EIGHT,
   .content = CONTENT_8BIT_BODY, .said = "ok 2.6.0", .policy = "bounce"},
  {.row = "T17 signed, bounce", .script = EHLO_LOST "!", .body = SIGNED,
   .content = CONTENT_8BIT_BODY, .said = "temp 4.4.2", .policy = "bounce", .body_seen = ""},
  {.row = "X15 signed, bounce", .script = ">220 mx;?EHLO;>250-mx\r\n250 8BITMIME;?MAIL;>555 no;"
                                          "?QUIT;>221 bye",
   .body = SIGNED, .content = CONTENT_8BIT_BODY, .said = "perm 5.6.3", .policy = "bounce",
   .body_seen = ""},
  {.row = "X13", .script = ">220 mx;?EHLO;>250-mx\r\n250 SIZE 999999;?MAIL FROM:<user@our.example> "
                           "SIZE=;>501 what;?RSET;>250 ok;" GOOD,
   .said = "ok 2.6.0", .learned = "no-size "},
  {.row = "X19", .script = ">220 mx;?EHLO;>250-mx\r\n250 8BITMIME", .flags = ENVELOPE_SMTPUTF8,
   .sender = "b\xc3\xbc@peer.example", .said = "perm 5.6.7"},
  {.row = "X19, not truly needed", .script = ">220 mx;?EHLO;>250 mx;?MAIL FROM:<user@our.example>\r;"
                                             ">250 ok;?RCPT;>250 ok;?DATA;>354 go;.;>250 ok",
   .flags = ENVELOPE_SMTPUTF8, .said = "ok 2.0.0"},
  {.row = "X21", .script = ">220 mx;?EHLO;>250-mx\r\n250 SMTPUTF8;"
                           "?MAIL FROM:<b\xc3\xbc@peer.example> SMTPUTF8\r;>555 no",
   .flags = ENVELOPE_SMTPUTF8, .sender = "b\xc3\xbc@peer.example", .said = "perm 5.6.7",
   .learned = "no-smtputf8 "},
  {.row = "X21, not truly needed", .script = ">220 mx;?EHLO;>250-mx\r\n250 SMTPUTF8;"
                                             "?MAIL FROM:<user@our.example> SMTPUTF8\r;>501 no;"
                                             "?RSET;>250 ok;" GOOD,
   .flags = ENVELOPE_SMTPUTF8, .said = "ok 2.6.0", .learned = "no-smtputf8 "},
  {.row = "X25", .script = ">220 mx;?EHLO;>250-mx\r\n250 LIMITS RCPTDOMAINMAX=1;?MAIL;>250 ok;"
                           "?RCPT TO:<a@one>;>250 ok;?DATA;>354 go;.;>250 ok;?MAIL;>250 ok;"
                           "?RCPT TO:<b@two>;>250 ok;?DATA;>354 go;.;>250 ok",
   .rcpt = "a@one,b@two", .said = "ok 2.0.0,ok 2.0.0"},
  {.row = "A8", .fault = NO_DESCRIPTORS, .said = "temp 4.3.0", .how = "ours"},
  {.row = "stated delay", .script = ">220 mx;?EHLO;>250 mx;?MAIL;>250 ok;"
                                    "?RCPT;>450 4.2.0 try again in 10 minutes",
   .said = "temp 4.2.0", .wait = 600},
  {.row = "stated delay, too short", .script = ">220 mx;?EHLO;>250 mx;?MAIL;>250 ok;"
                                               "?RCPT;>450 4.2.0 try again in 1 second",
   .said = "temp 4.2.0", .wait = 30},
  {.row = "stated delay, too long", .script = ">220 mx;?EHLO;>250 mx;?MAIL;>250 ok;"
                                              "?RCPT;>450 4.2.0 try again in 2 days",
   .said = "temp 4.2.0", .wait = 3600},
  {.row = "X10", .script = ">220 mx;?EHLO;>250-mx\r\n250 SIZE 5;" GOOD, .said = "ok 2.6.0"},
  {.row = "X4", .script = BATCH "?MAIL;?RCPT;?DATA;>250 ok\r\n250 ok\r\n354 go;.;>250 ok",
   .said = "ok 2.0.0"},
  {.row = "X2", .script = BATCH "?MAIL;?RCPT;?DATA;>250 ok;!|" BATCH
                          "?MAIL;>250 ok;?RCPT;>250 ok;?DATA;>354 go;.;>250 ok",
   .said = "ok 2.0.0", .learned = "no-pipelining "},
  {.row = "X6", .script = BATCH "?MAIL;?RCPT;?DATA;>250 ok\r\n550 5.1.1 no\r\n354 go;?.\r;>554 no",
   .said = "perm 5.1.1"},
  {.row = "X26", .script = BATCH "?MAIL;?RCPT;?RCPT;?DATA;>250 ok\r\n250 ok\r\n452 many\r\n354 go;.;"
                           ">250 ok;?MAIL;?RCPT TO:<b@>;?DATA;>250 ok\r\n250 ok\r\n354 go;.;>250 ok",
   .rcpt = "a@,b@", .said = "ok 2.0.0,ok 2.0.0", .learned = "rcptmax=1 "},
  {.row = "dots", .script = ">220 mx;?EHLO;>250 mx;" GOOD, .body = ".\r\n..\r\na.b\r\n.c\r\n",
   .content = CONTENT_DOT_LINE, .said = "ok 2.6.0",
   .body_seen = "..\r\n...\r\na.b\r\n..c\r\n.\r\n"},
  {.row = "empty", .script = ">220 mx;?EHLO;>250 mx;" GOOD, .body = "", .said = "ok 2.6.0",
   .body_seen = ".\r\n"},
  {.row = "life over", .script = ">220 mx;?EHLO;!|!", .age = 999999, .said = "perm 4.4.7",
   .learned = "ehlo-drop soft-hit "},
};

/* ---- the peer */

static char seen[65536], rest[262144]; /* a message; what came after the script's end */
static size_t rest_len;

static int read_line(int fd, char *line, size_t room)
{
  size_t n = 0;

  while (n + 1 < room && (n == 0 || line[n - 1] != '\n')) {
    if (read(fd, line + n, 1) != 1)
      return -1;
    n++;
  }
  line[n] = 0;
  return (int)n;
}

static int read_message(int fd)
{
  size_t n = 0;

  memset(seen, 0, sizeof seen);
  while (n < sizeof seen - 1) {
    if (read(fd, seen + n, 1) != 1)
      return -1;
    n++;
    if ((n == 3 && memcmp(seen, ".\r\n", 3) == 0) ||
        (n >= 5 && memcmp(seen + n - 5, "\r\n.\r\n", 5) == 0))
      return 0;
  }
  return -1;
}

static int step(int fd, const char *s, size_t len)
{
  struct linger at_once = {1, 0};
  char line[4096];

  switch (*s) {
  case '>':
    snprintf(line, sizeof line, "%.*s\r\n", (int)len - 1, s + 1);
    return send(fd, line, strlen(line), MSG_NOSIGNAL) > 0 ? 0 : -1;
  case '?':
    if (read_line(fd, line, sizeof line) < 0)
      return len == 5 && memcmp(s, "?QUIT", 5) == 0 ? 1 : -1;
    if (strncmp(line, s + 1, len - 1) != 0) {
      fprintf(stderr, "peer: got %s instead of %.*s\n", line, (int)len, s);
      return -1;
    }
    return 0;
  case '.':
    return read_message(fd);
  case '_':
    usleep(300000);
    return 0;
  case '#':
    while (read(fd, line, sizeof line) > 0)
      ;
    return 1;
  case '~':
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    return 1;
  default: /* ! */
    return 1;
  }
}

/* plays one connection; 0 as scripted */
static int play(int fd, const char *script, size_t len)
{
  const char *end = script + len;
  ssize_t got;

  while (script < end) {
    const char *semi = memchr(script, ';', (size_t)(end - script));
    size_t n = semi ? (size_t)(semi - script) : (size_t)(end - script);
    int r = step(fd, script, n);
    if (r != 0)
      return r < 0 ? -1 : 0;
    script += n + 1;
  }
  shutdown(fd, SHUT_WR);
  rest_len = 0;
  while (rest_len < sizeof rest && (got = read(fd, rest + rest_len, sizeof rest - rest_len)) > 0)
    rest_len += (size_t)got;
  return 0;
}

static int accept_soon(int listener)
{
  struct pollfd p = {.fd = listener, .events = POLLIN};

  return poll(&p, 1, 4000) == 1 ? accept(listener, NULL, NULL) : -1;
}

static void play_all(int listener, const char *script, const char *row)
{
  while (script) {
    const char *bar = strchr(script, '|');
    int fd = accept_soon(listener);
    if (fd < 0)
      fail_msg("%s: no connection for %s", row, script);
    if (play(fd, script, bar ? (size_t)(bar - script) : strlen(script)) != 0)
      fail_msg("%s: not as scripted: %s", row, script);
    close(fd);
    script = bar ? bar + 1 : NULL;
  }
}

/* ---- the attempt */

static struct in_addr place = {0}; /* where peers are */

static int message;
static off_t message_cut;

static int make_message(const struct scenario *c)
{
  static const char plain[] = "Subject: x\r\n\r\nhello\r\n";
  const char *body = c->body ? c->body : plain;
  struct envelope_new n = {.id = "test1", .sender = c->sender ? c->sender : "user@our.example",
                           .envid = "", .ret = "", .client = "local:0", .helo = "",
                           .protocol = "local", .created = (uint64_t)time(NULL) - c->age, .flags = c->flags};
  struct envelope_sum sum = {.content = c->content, .body_len = strlen(body)};
  char *list = strdup(c->rcpt ? c->rcpt : "bob@peer.example");
  int fd = memfd_create("message", MFD_CLOEXEC);
  stralloc out = {0};

  assert_int_equal(envelope_begin(&out, &n), 0);
  for (char *r = strtok(list, ","); r; r = strtok(NULL, ","))
    assert_int_equal(envelope_add_rcpt(&out, r, "", ""), 0);
  assert_int_equal(envelope_finish(&out), 0);
  sum.env_len = out.len;
  envelope_head(out.s, &sum);
  assert_true(stralloc_cats(&out, body) && stralloc_cats(&out, ENVELOPE_END));
  assert_int_equal(write(fd, out.s, out.len), out.len);
  message = fd;
  message_cut = (off_t)(sum.env_len + sum.body_len / 2);
  free(out.s);
  free(list);
  return fd;
}

static void use_up_descriptors(void)
{
  int next = dup(0);
  struct rlimit none = {(rlim_t)next, (rlim_t)next};

  close(next);
  if (setrlimit(RLIMIT_NOFILE, &none) != 0)
    _exit(8);
}

/* the disk loses half of the message while it is being sent */
static void cut_message(int signal)
{
  (void)signal;
  if (ftruncate(message, message_cut) != 0)
    _exit(8);
}

static pid_t fork_attempt(const struct scenario *c, int report, uint16_t port)
{
  char hop[64];
  static struct session none = {.conn = {.fd = -1}};
  struct attempt_own own = {0};
  struct attempt_given g = {.id = "test1", .nexthop = hop, .tries = c->tries, .ask = -1,
                            .report = report, .own = &own,
                            .ranges = c->rcpt ? "0-1" : "0"};
  pid_t pid;

  snprintf(hop, sizeof hop, "host:[%s]:%u", inet_ntoa(place), port);
  settings.eightbit_signed = c->policy;
  pid = fork();
  if (pid == 0) {
    dup2(2, 1);
    if (!freopen("/dev/null", "w", stderr))
      _exit(9);
    g.message = make_message(c);
    if (c->fault == SHORT_FILE) {
      signal(SIGALRM, cut_message);
      ualarm(100000, 0);
    }
    if (c->fault == NO_DESCRIPTORS)
      use_up_descriptors();
    _exit(attempt_run(&g, &none));
  }
  return pid;
}

static void add_word(char *out, size_t room, const char *word, const char *separator)
{
  size_t n = strlen(out);

  snprintf(out + n, room - n, "%s%s", n && *separator == ',' ? separator : "", word);
  n = strlen(out);
  if (*separator == ' ' && !strstr(out, word))
    snprintf(out + n, room - n, " ");
}

/* what was reported: results in said, facts in learned */
static uint64_t until; /* of the last result */
static char how[32];   /* the same */

static void read_report(int sock, char *said, char *learned, size_t room)
{
  struct wire_msg m;
  char word[256];

  said[0] = learned[0] = how[0] = 0;
  while (chan_recv_blocking(sock, LINK_REPORT, WIRE_HIGH, 20000, &m) == 1) {
    size_t at = m.type == WIRE_ENDED ? 1 : 0; /* a result may come with it */
    if (m.type == WIRE_SAID || (m.type == WIRE_ENDED && m.n > 1)) {
      snprintf(word, sizeof word, "%.*s %.*s", (int)m.f[at + 1].len, m.f[at + 1].s,
               (int)m.f[at + 3].len, m.f[at + 3].s);
      add_word(said, room, word, ",");
      wire_get_num(&m, at + 2, UINT64_MAX, &until);
      snprintf(how, sizeof how, "%.*s", (int)m.f[at + 5].len, m.f[at + 5].s);
    } else if (m.type == WIRE_LEARNED) {
      snprintf(word, sizeof word, "%.*s ", (int)m.f[2].len, m.f[2].s);
      add_word(learned, room, word, "");
    }
  }
}

static int listen_somewhere(uint16_t *port)
{
  struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = place};
  socklen_t len = sizeof sin;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof sin), 0);
  assert_int_equal(listen(fd, 5), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
  *port = ntohs(sin.sin_port);
  return fd;
}

static void run_case(const struct scenario *c)
{
  char said[512], learned[512];
  int pair[2], listener, status;
  uint16_t port;
  pid_t pid;

  memset(seen, 0, sizeof seen);
  listener = listen_somewhere(&port);
  assert_int_equal(chan_pair(pair), 0);
  pid = fork_attempt(c, pair[1], port);
  close(pair[1]);
  play_all(listener, c->script, c->row);
  read_report(pair[0], said, learned, sizeof said);
  waitpid(pid, &status, 0);
  close(pair[0]);
  close(listener);
  if (status != 0)
    fail_msg("%s: the attempt ended with status %x", c->row, status);
  if (strcmp(said, c->said) != 0)
    fail_msg("%s: said \"%s\" instead of \"%s\"", c->row, said, c->said);
  /* when the close is seen before HELO is written, it is a drop at EHLO as well */
  if (strncmp(c->row, "E7", 2) == 0 && strcmp(learned, "ehlo-drop helo-only ") == 0)
    memmove(learned, "helo-only ", sizeof "helo-only ");
  if (strcmp(learned, c->learned ? c->learned : "") != 0)
    fail_msg("%s: learned \"%s\" instead of \"%s\"", c->row, learned, c->learned);
  if (c->wait && (until < (uint64_t)time(NULL) + c->wait - 3 || until > (uint64_t)time(NULL) + c->wait))
    fail_msg("%s: tried again in %lld s", c->row, (long long)until - (long long)time(NULL));
  if (c->how && strcmp(how, c->how) != 0)
    fail_msg("%s: how \"%s\" instead of \"%s\"", c->row, how, c->how);
  if (c->body_seen && strcmp(seen, c->body_seen) != 0)
    fail_msg("%s: sent \"%s\"", c->row, seen);
  for (const char *s = c->content & CONTENT_8BIT_BODY && !c->body_seen ? seen : ""; *s; s++)
    if ((unsigned char)*s > 127)
      fail_msg("%s: 8-bit bytes were sent", c->row);
}

static int set_up(void **state)
{
  (void)state;
  settings.hostname = "our.example";
  place.s_addr = htonl(INADDR_LOOPBACK);
  settings.timeout_slow = 2000;
  settings.stated_delay = 1;
  settings.timeout_connect = settings.timeout_block = 2000;
  settings.timeout_greeting = settings.timeout_helo = settings.timeout_mail = 400;
  settings.timeout_rcpt = settings.timeout_data = settings.timeout_data_end = 400;
  settings.timeout_quit = 200;
  settings.attempt_addresses = 10;
  settings.attempt_sessions = 5;
  settings.attempt_connections = 3;
  settings.attempt_recipients = 100;
  return 0;
}

static void test_cases(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    run_case(&cases[i]);
}

/* nobody listens */
static void test_refused(void **state)
{
  struct scenario c = {.row = "A1"};
  char said[512], learned[512];
  uint16_t port;
  int pair[2], listener = listen_somewhere(&port), status;
  pid_t pid;

  (void)state;
  close(listener);
  assert_int_equal(chan_pair(pair), 0);
  pid = fork_attempt(&c, pair[1], port);
  close(pair[1]);
  read_report(pair[0], said, learned, sizeof said);
  waitpid(pid, &status, 0);
  close(pair[0]);
  assert_string_equal(said, "temp 4.4.1");
  assert_string_equal(learned, "down ");
}

static void test_ranges(void **state)
{
  static const struct {
    const char *s;
    size_t n;
  } c[] = {{"0", 1}, {"0-4,9", 6}, {"3", 1}, {"0-9", 10}, {"10", 0}, {"4-2", 0}, {"1,1", 0},
           {"2,1", 0}, {"", 0}, {"a", 0}, {"1,", 0}, {"1-", 0}, {"-1", 0}, {"1 ,2", 0},
           {"99999999999999999999999", 0}};
  unsigned char set[10];

  (void)state;
  for (size_t i = 0; i < sizeof c / sizeof *c; i++)
    if (attempt_ranges(c[i].s, sizeof set, set) != c[i].n)
      fail_msg("\"%s\"", c[i].s);
}

static void test_own(void **state)
{
  static const struct {
    const char *ip;
    uint16_t port;
    int yes;
  } c[] = {{"192.0.2.1", 25, 1},  {"192.0.2.1", 26, 0},  {"192.0.2.2", 25, 0},
           {"127.0.0.1", 2525, 1}, {"127.0.0.9", 2525, 1}, {"127.0.0.1", 25, 0},
           {"198.51.100.7", 2525, 0}, {"::1", 2525, 0}};
  struct attempt_own own = {.n = 2};
  struct ip ip;

  (void)state;
  ip_port_parse("192.0.2.1:25", 12, &own.at[0].ip, &own.at[0].port);
  ip_port_parse("0.0.0.0:2525", 12, &own.at[1].ip, &own.at[1].port);
  own.at[1].is_any = 1;
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    assert_int_equal(ip_parse(c[i].ip, strlen(c[i].ip), &ip), 0);
    if (attempt_is_own(&own, &ip, c[i].port) != c[i].yes)
      fail_msg("%s:%u", c[i].ip, c[i].port);
  }
}

/* D23: our file cannot be read to its end: the message is not ended, nor the dot sent */
static void test_d23(void **state)
{
  static char body[100001];
  static const char begins[] = ">220 mx;?EHLO;>250 mx;?MAIL;>250 ok;?RCPT;>250 ok;?DATA;_;>354 go";
  struct scenario c = {.row = "D23", .script = begins, .body = body, .said = "temp 4.3.0",
                       .fault = SHORT_FILE};

  (void)state;
  for (size_t i = 0; i + 1 < sizeof body; i++)
    body[i] = "line\r\n"[i % 6];
  run_case(&c);
  for (size_t i = 0; i + 5 <= rest_len; i++)
    if (memcmp(rest + i, "\r\n.\r\n", 5) == 0)
      fail_msg("a dot after %zu bytes", i);
}

/* an address of this host that is not the loopback; 0 when it has none */
static struct in_addr outer_address(void)
{
  struct in_addr found = {0};
  struct ifaddrs *list, *i;

  if (getifaddrs(&list) != 0)
    return found;
  for (i = list; i; i = i->ifa_next)
    if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET) {
      struct in_addr a = ((struct sockaddr_in *)i->ifa_addr)->sin_addr;
      if (ntohl(a.s_addr) >> 24 != 127)
        found = a;
    }
  freeifaddrs(list);
  return found;
}

/* B22, E31: who greets us with our own name, at no loopback address, is a loop */
static void test_own_name(void **state)
{
  static const struct scenario c[] = {
    {.row = "B22", .script = ">220 our.example ready", .said = "perm 5.4.6"},
    {.row = "E31", .script = ">220 mx;?EHLO;>250 our.example", .said = "perm 5.4.6"},
    {.row = "B22, another name", .script = ">220 our.example.org;?EHLO;>250 mx;" GOOD,
     .said = "ok 2.6.0"}};
  struct in_addr loopback = place, outer = outer_address();

  (void)state;
  if (outer.s_addr == 0)
    skip();
  place = outer;
  for (size_t i = 0; i < sizeof c / sizeof *c; i++)
    run_case(&c[i]);
  place = loopback;
}

/* LADDER.md 4.4: a malformed name is never said */
static void test_our_name(void **state)
{
  static const char *const bad[] = {"", "sub2", "sub2.", "a.b.", "a..b", "under_score.example",
                                    "localhost", "localhost.localdomain", "1.2.3.4", "-a.example"};
  struct scenario c = {.row = "our name",
                       .script = ">220 mx;?EHLO [127.0.0.1]\r;>250 mx;" GOOD, .said = "ok 2.6.0"};

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    settings.hostname = bad[i];
    run_case(&c);
  }
  settings.hostname = NULL;
  run_case(&c);
  settings.hostname = "our.example";
}

/* memory moves addresses about, it never strikes one out */
static void test_order(void **state)
{
  struct target t[] = {{.preference = 10, .is_slow = 1, .port = 1}, {.preference = 10, .port = 2},
                       {.preference = 10, .is_last = 1, .port = 3}, {.preference = 20, .port = 4},
                       {.preference = 20, .is_avoided = 1, .port = 5},
                       {.preference = 30, .is_first = 1, .port = 6}};
  static const uint16_t order[] = {6, 2, 1, 4, 5, 3};

  (void)state;
  targets_order(t, sizeof t / sizeof *t);
  for (size_t i = 0; i < sizeof t / sizeof *t; i++)
    assert_int_equal(t[i].port, order[i]);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranges), cmocka_unit_test(test_own),
                                     cmocka_unit_test(test_refused), cmocka_unit_test(test_cases),
                                     cmocka_unit_test(test_d23),     cmocka_unit_test(test_own_name),
                                     cmocka_unit_test(test_our_name), cmocka_unit_test(test_order)};

  return cmocka_run_group_tests_name("attempt", tests, set_up, NULL);
}
