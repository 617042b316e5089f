/* test_session.c - SMTP sessions, told as scripts */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "common/verbs.h"
#include "tests/unit/smtpsession.h"

static const char *const tables[][3] = {
  {"settings", "hostname", "mx.example.org"},
  {"settings", "domain", "example.org"},
  {"settings", "message-size-limit", "10k"},
  {"settings", "header-size-limit", "2k"},
  {"settings", "line-length-limit", "2000"},
  {"settings", "received-limit", "5"},
  {"settings", "recipient-limit", "100"},
  {"settings", "error-limit", "4"},
  {"settings", "greeting-error-limit", "2"},
  {"settings", "command-length-limit", "512"},
  {"settings", "session-message-limit", "3"},
  {"settings", "xclient-networks", "198.18.0.0/24 2001:db8:1::/48"},
  {"domains", "example.org", "local"},
  {"domains", "mx.example.org", "local"},
  {"domains", "backup.example", "relay"},
  {"access", "client:192.0.2.0/24", "relay"},
  {"access", "client:198.51.100.0/24", "reject your network is blocked; ask abuse@example.org"},
  {"access", "client:203.0.113.7/32", "helo=strict"},
  {"access", "client:203.0.113.8/32", "helo=junk"},
  {"access", "helo:bad.example", "reject"},
  {"access", "helo:.worse.example", "defer not now"},
  {"access", "sender:spam@bad.example", "reject 5.7.1 no"},
  {"access", "sender:bad2.example", "reject"},
  {"access", "sender:", "defer"},
  {"access", "rcpt:secret@example.org", "reject"},
  {"access", "rcpt:open@elsewhere.example", "relay"},
  {"settings", "bare-lf-from", "203.0.113.20 2001:db8::/32"},
  {"verbs", "203.0.113.9/32", "-8bitmime -pipelining -vrfy"},
  {"verbs", "203.0.113.10/32", "3503297"},
  {"verbs", "submission:203.0.113.9/32", "-chunking"},
  {"verbs", "submission:*", "-limits"},
  {"verbs", "203.0.113.11/32", "-enhancedstatuscodes -size -dsn"},
  {NULL, NULL, NULL},
};

#define HELLO "EHLO a.example\r\n"
#define OFFERS                                                                                     \
  "250-mx.example.org\n250-SIZE 10240\n250-PIPELINING\n250-8BITMIME\n250-DSN\n"                    \
  "250-ENHANCEDSTATUSCODES\n250-SMTPUTF8\n250-CHUNKING\n250-LIMITS MAILMAX=3 RCPTMAX=100\n250 HELP"
#define STRANGER "203.0.113.1"
#define OURS "192.0.2.1"

#define STEPS 12
/* a client's address, and what is sent (first column) and answered: the beginnings of the
 * reply lines */
static const struct script {
  const char *name, *client;
  const char *step[STEPS][2];
} scripts[] = {
  {"one message", STRANGER,
   {{HELLO, OFFERS},
    {"MAIL FROM:<s@a.example>\r\n", "250 2.1.0"},
    {"RCPT TO:<alice@example.org>\r\n", "250 2.1.5"},
    {"DATA\r\n", "354 "},
    {"Subject: x\r\n\r\nbody\r\n.\r\n", "250 2.0.0 Ok: queued as 42.1"},
    {"QUIT\r\n", "221 2.0.0 mx.example.org"}}},
  {"helo answers one line", STRANGER, {{"HELO a.example\r\n", "250 mx.example.org"}}},
  {"pipelined", STRANGER,
   {{HELLO, OFFERS},
    {"MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\n", "450 4.7.1\n503 5.5.1"},
    {"MAIL FROM:<s@a.example>\r\nRCPT TO:<alice@example.org>\r\nRCPT TO:<bob@example.org>\r\n"
     "DATA\r\n",
     "250 2.1.0\n250 2.1.5\n250 2.1.5\n354"},
    {"a: b\r\n\r\n.\r\nMAIL FROM:<s@a.example>\r\nRSET\r\nNOOP\r\nQUIT\r\n",
     "250 2.0.0\n250 2.1.0\n250 2.0.0\n250 2.0.0\n221"}}},
  {"recipients", STRANGER,
   {{HELLO, OFFERS},
    {"MAIL FROM:<s@a.example>\r\n", "250"},
    {"RCPT TO:<nobody@example.org>\r\n", "550 5.1.1"},
    {"RCPT TO:<slow@example.org>\r\n", "451 4.3.0"},
    {"RCPT TO:<x@elsewhere.example>\r\n", "550 5.7.1"},
    {"DATA\r\n", "554 5.5.1"},
    {"RCPT TO:<open@elsewhere.example>\r\n", "250 2.1.5"}}},
  {"more recipients", STRANGER,
   {{HELLO, OFFERS},
    {"MAIL FROM:<s@a.example>\r\n", "250"},
    {"RCPT TO:<open@elsewhere.example>\r\n", "250 2.1.5"},
    {"RCPT TO:<x@backup.example>\r\n", "250 2.1.5"},
    {"RCPT TO:<Postmaster>\r\n", "250 2.1.5"},
    {"RCPT TO:<bob>\r\n", "550 5.1.3"},
    {"RCPT TO:<secret@example.org>\r\n", "550 5.7.1"},
    {"RCPT TO:<m\xc3\xbcller@example.org>\r\n", "553 5.6.7"}}},
  {"a client that may relay", OURS,
   {{"EHLO sub2\r\n", OFFERS},
    {"MAIL FROM:<root>\r\n", "250"},
    {"RCPT TO:<x@elsewhere.example>\r\n", "250"},
    {"RCPT TO:<bob>\r\n", "250"},
    {"RCPT TO:<nobody>\r\n", "550 5.1.1"}}},
  {"order", STRANGER,
   {{"MAIL FROM:<s@a.example>\r\n", "503 5.5.1"},
    {"NOOP\r\n", "250"},
    {"RSET\r\n", "250"},
    {"VRFY alice\r\n", "252"},
    {"HELP\r\n", "214"},
    {"HELO a.example\r\n", "250"},
    {"RCPT TO:<alice@example.org>\r\n", "503 5.5.1"},
    {"DATA\r\n", "503 5.5.1"},
    {"QUIT\r\n", "221"}}},
  {"mail twice", STRANGER,
   {{HELLO, OFFERS},
    {"MAIL FROM:<s@a.example>\r\nMAIL FROM:<t@a.example>\r\n", "250\n503 5.5.1"},
    {"RSET\r\nMAIL FROM:<t@a.example>\r\n", "250\n250"},
    {"EHLO b.example\r\n", OFFERS},
    {"RCPT TO:<alice@example.org>\r\n", "503"}}},
  {"unknown commands end at the limit", STRANGER,
   {{"FOO\r\n", "500 5.5.1"},
    {"\r\n", "500 5.5.2"},
    {"STARTTLS\r\n", "502 5.5.1"},
    {"BAR\r\n", "500 5.5.1\n421 4.7.0"}}},
  {"refused greetings", STRANGER,
   {{"EHLO\r\n", "501 5.5.4"}, {"EHLO a\001\r\n", "501 5.5.2\n421"}}},
  {"a refused greeting leaves the state", STRANGER,
   {{HELLO, OFFERS},
    {"MAIL FROM:<s@a.example>\r\n", "250"},
    {"HELO\r\n", "501 5.5.4"},
    {"RCPT TO:<alice@example.org>\r\n", "250"}}},
  {"strict greeting", "203.0.113.7",
   {{"EHLO my_host.example\r\n", "501 5.5.4"}, {"EHLO my-host.example\r\n", OFFERS}}},
  {"junk greeting", "203.0.113.8", {{"HELO\r\n", "250 mx"}, {"HELO a\001b\r\n", "250 mx"}}},
  {"blocked client", "198.51.100.9",
   {{HELLO, OFFERS},
    {"MAIL FROM:<s@a.example>\r\n", "550 5.7.1 your network is blocked; ask abuse@example.org"}}},
  {"blocked names", STRANGER,
   {{"EHLO BAD.example\r\n", OFFERS},
    {"MAIL FROM:<s@a.example>\r\n", "550 5.7.1"},
    {"EHLO mail.worse.example\r\n", OFFERS},
    {"MAIL FROM:<s@a.example>\r\n", "450 4.7.1 not now"},
    {HELLO, OFFERS},
    {"MAIL FROM:<Spam@bad.example>\r\n", "550 5.7.1"},
    {"MAIL FROM:<x@bad2.example>\r\n", "550 5.7.1"}}},
  {"MAIL parameters", OURS,
   {{HELLO, OFFERS},
    {"MAIL FROM:<s@a.example> SIZE=10240 BODY=8BITMIME RET=HDRS ENVID=a+2Bb\r\nRSET\r\n", "250\n250"},
    {"MAIL FROM:<s@a.example> SIZE=10241\r\n", "552 5.3.4"},
    {"MAIL FROM:<s@a.example> BODY=BINARYMIME\r\n", "501 5.5.4"},
    {"MAIL FROM:<s@a.example> FOO=1\r\n", "555 5.5.4 parameter FOO"}}},
  {"more MAIL parameters", OURS,
   {{HELLO, OFFERS},
    {"MAIL FROM:<s@a.example> SIZE=1 SIZE=2\r\n", "501 5.5.4"},
    {"MAIL FROM:<s@a.example>SIZE=1\r\n", "501 5.5.4"},
    {"MAIL FROM:<s@a.example> RET=NONE\r\n", "501 5.5.4"}}},
  {"bad senders", STRANGER,
   {{HELLO, OFFERS},
    {"MAIL FROM:s@a.example\r\n", "501 5.1.7"},
    {"MAIL <s@a.example>\r\n", "501 5.5.4"},
    {"MAIL FROM:<s>\r\n", "553 5.1.7"}}},
  {"xtext of control bytes", OURS,
   {{HELLO, OFFERS},
    {"MAIL FROM:<s@a.example> ENVID=a+0D+0Ab\r\nMAIL FROM:<s@a.example>\r\n", "501 5.5.4\n250"},
    {"RCPT TO:<x@b.example> ORCPT=rfc822;a+0D+0Ab\r\n", "501 5.5.4"}}},
  {"SMTPUTF8", OURS,
   {{HELLO, OFFERS},
    {"MAIL FROM:<j\xc3\xb6@m\xc3\xbcller.example>\r\n", "553 5.6.7 non-ASCII sender address; say SMTPUTF8"},
    {"MAIL FROM:<j\xc3\xb6@m\xc3\xbcller.example> SMTPUTF8=1\r\n", "501 5.5.4"},
    {"MAIL FROM:<j\xc3@m\xc3\xbcller.example> SMTPUTF8\r\n", "501 5.1.7"},
  }},
  {"SMTPUTF8 taken", OURS,
   {{HELLO, OFFERS},
    {"MAIL FROM:<j\xc3\xb6@m\xe2\x80\xa8ller.example> SMTPUTF8\r\n", "501 5.1.7"},
    {"MAIL FROM:<j\xc3\xb6@m\xc3\xbcller.example> SMTPUTF8 BODY=8BITMIME\r\n", "250"},
    {"RCPT TO:<\xe6\x97\xa5@m\xc3\xbcller.example> ORCPT=utf-8;\xe6\x97\xa5\\x{65E5}@x\r\n", "250"},
    {"RCPT TO:<x@b.example> ORCPT=utf-8;\xe6\x97\r\nRCPT TO:<x@b.example> ORCPT=rfc822;\xe6\x97\xa5\r\n", "501\n501"},
    {"RCPT TO:<x@xn--mller-kva.example>\r\n", "250"}}},
  {"SMTPUTF8 not asked for, not offered, and VRFY", "203.0.113.9",
   {{HELLO, "250-mx.example.org\n250-SIZE\n250-DSN\n250-ENHANCEDSTATUSCODES\n250-CHUNKING\n250-LIMITS MAILMAX=3 RCPTMAX=100\n250 HELP"},
    {"MAIL FROM:<s@a.example> SMTPUTF8\r\n", "555 5.5.4 parameter SMTPUTF8"},
    {"MAIL FROM:<\xc3\xb6@a.example>\r\n", "553 5.6.7 non-ASCII sender address; SMTPUTF8 is not offered here"}}},
  {"SMTPUTF8 with VRFY", STRANGER,
   {{HELLO, OFFERS},
    {"VRFY \xc3\xb6\r\n", "553 5.6.7"},
    {"VRFY \xc3\xb6 smtputf8\r\n", "252"},
    {"VRFY SMTPUTF8\r\n", "252"}}},
  {"RCPT parameters", OURS,
   {{HELLO, OFFERS},
    {"MAIL FROM:<s@a.example>\r\n", "250"},
    {"RCPT TO:<x@b.example> NOTIFY=SUCCESS,delay ORCPT=rfc822;x@b.example\r\n", "250"},
    {"RCPT TO:<x@b.example> NOTIFY=NEVER,DELAY\r\n", "501 5.5.4"},
    {"RCPT TO:<x@b.example> ORCPT=nothing\r\n", "501 5.5.4"},
    {"RCPT TO:<x@b.example> SIZE=1\r\n", "555 5.5.4"}}},
  {"verbs by name", "203.0.113.9",
   {{HELLO, "250-mx.example.org\n250-SIZE\n250-DSN\n250-ENHANCEDSTATUSCODES\n250-CHUNKING\n250-LIMITS MAILMAX=3 RCPTMAX=100\n250 HELP"},
    {"VRFY alice\r\n", "502"},
    {"MAIL FROM:<s@a.example> BODY=8BITMIME\r\n", "555 5.5.4"}}},
  {"verbs by mask", "203.0.113.10",
   {{HELLO,
     "250-mx.example.org\n250-SIZE\n250-PIPELINING\n250-DSN\n250-ENHANCEDSTATUSCODES\n250-CHUNKING\n250-LIMITS MAILMAX=3 RCPTMAX=100\n250 HELP"}}},
  {"no status codes", "203.0.113.11",
   {{HELLO, "250-mx.example.org\n250-PIPELINING\n250-8BITMIME\n250-SMTPUTF8\n250-CHUNKING\n250-LIMITS MAILMAX=3 RCPTMAX=100\n250 HELP"},
    {"NOOP\r\n", "250 Ok"},
    {"MAIL FROM:<s@a.example> SIZE=1\r\n", "555 parameter"}}},
  {"messages in a session", OURS,
   {{HELLO, OFFERS},
    {"MAIL FROM:<s@a.example>\r\nRCPT TO:<x@b.example>\r\nDATA\r\n", "250\n250\n354"},
    {".\r\n", "250"},
    {"MAIL FROM:<s@a.example>\r\nRCPT TO:<x@b.example>\r\nDATA\r\n", "250\n250\n354"},
    {".\r\n", "250"},
    {"MAIL FROM:<s@a.example>\r\nRCPT TO:<x@b.example>\r\nDATA\r\n", "250\n250\n354"},
    {".\r\n", "250"},
    {"MAIL FROM:<s@a.example>\r\n", "452 4.5.3"}}},
  {"LF ends a command, arguments are refused where there are none", STRANGER,
   {{"NOOP\nNOOP x\n", "250\n250"}, {"RSET x\r\n", "501 5.5.4"}, {"NO\001OP\r\n", "501 5.5.2"}}},
};

static size_t count_lines(const char *s, size_t len)
{
  size_t n = 0;

  for (size_t i = 0; i < len; i++)
    n += s[i] == '\n';
  return n;
}

/* every line of out begins as its line of want does, and there are as many */
static int replies_match(const stralloc *out, const char *want)
{
  size_t at = 0;

  if (count_lines(out->s, out->len) != count_lines(want, strlen(want)) + (*want != 0))
    return 0;
  while (*want) {
    size_t n = strcspn(want, "\n");
    const char *end = memchr(out->s + at, '\n', out->len - at);
    if (!end || out->len - at < n || memcmp(out->s + at, want, n) != 0)
      return 0;
    at = (size_t)(end - out->s) + 1;
    want += n + (want[n] == '\n');
  }
  return 1;
}

static void clear_fake(void)
{
  const struct table *t = fake.table;

  stralloc_free(&fake.asked);
  stralloc_free(&fake.message);
  fake = (struct fake){.table = t};
}

static void begin_at(struct session *s, enum service_number service, const char *client)
{
  struct ip ip;

  clear_fake();
  assert_int_equal(ip_parse(client, strlen(client), &ip), 0);
  session_start(s, &fake_world, service_row(service), &ip, 4711);
  assert_true(replies_match(&s->out, "220 mx.example.org ESMTP"));
}

static void begin(struct session *s, const char *client)
{
  begin_at(s, SERVICE_MX, client);
}

static void say(struct session *s, const char *bytes, size_t len, size_t piece, const char *want)
{
  s->out.len = 0;
  fake_feed(s, bytes, len, piece);
  if (replies_match(&s->out, want))
    return;
  fprintf(stderr, "# sent: %.*s# got: %.*s", (int)len, bytes, (int)s->out.len, s->out.s);
  fail();
}

static void say_text(struct session *s, const char *text, const char *want)
{
  say(s, text, strlen(text), 65536, want);
}

static void run_scripts(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
    for (size_t piece = 1; piece < 100000; piece *= 9) {
      struct session s;
      print_message("# %s\n", scripts[i].name);
      begin(&s, scripts[i].client);
      for (const char *const(*step)[2] = scripts[i].step;
           step < scripts[i].step + STEPS && (*step)[0]; step++)
        say(&s, (*step)[0], strlen((*step)[0]), piece, (*step)[1]);
      session_close(&s);
    }
}

#define ENVELOPE HELLO "MAIL FROM:<s@a.example>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n"
#define ENVELOPE_OK OFFERS "\n250\n250\n354"

static void begin_data(struct session *s)
{
  begin(s, STRANGER);
  say_text(s, ENVELOPE, ENVELOPE_OK);
}

static int message_is(const char *want)
{
  const char *end = memmem(fake.message.s, fake.message.len, "+0000\r\n", 7);
  size_t len = strlen(want);

  return end && (size_t)(fake.message.s + fake.message.len - end) == len + 7 &&
         memcmp(end + 7, want, len) == 0;
}

static void message_is_handed_on(void **state)
{
  static const char sent[] = "Subject: x\r\n\r\n..dot\r\n.\r\n";
  struct session s;

  (void)state;
  for (size_t piece = 1; piece < sizeof sent; piece++) {
    begin_data(&s);
    say(&s, sent, sizeof sent - 1, piece, "250 2.0.0");
    assert_true(message_is("Subject: x\r\n\r\n.dot\r\n"));
    assert_memory_equal(fake.message.s, "Received: from a.example ([203.0.113.1])\r\n", 42);
    assert_int_equal(fake.committed, 1);
    assert_int_equal(fake.aborted, 0);
    session_close(&s);
  }
}

/* a message that is refused is read to its real end, and nothing in it is a command */
static void refused_messages(void **state)
{
  static const struct {
    const char *message, *want;
  } cases[] = {
    {"a\n.\nMAIL FROM:<x@y.example>\r\n.\r\n", "550 5.6.0"},
    {"a\r\n.\nRSET\r\n.\r\n", "550 5.6.0"},
    {"a\n.\r\nRSET\r\n.\r\n", "550 5.6.0"},
    {"a\r.\rRSET\r\n.\r\n", "550 5.6.0"},
    {"a\r.\r\nRSET\r\n.\r\n", "550 5.6.0"},
    {"Received: 1\r\nReceived: 2\r\nReceived: 3\r\nreceived: 4\r\nReceived: 5\r\n\r\n.\r\n",
     "554 5.4.6"},
    {"Received: 1\r\n\r\nReceived: 2\r\nReceived: 3\r\nReceived: 4\r\nReceived: 5\r\n.\r\n", "250"},
  };

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (size_t piece = 1; piece < 100; piece++) {
      struct session s;
      int is_taken = cases[i].want[0] == '2';
      begin_data(&s);
      say(&s, cases[i].message, strlen(cases[i].message), piece, cases[i].want);
      assert_int_equal(fake.committed, is_taken);
      assert_int_equal(fake.aborted, !is_taken);
      say_text(&s, "MAIL FROM:<s@a.example>\r\n", "250");
      session_close(&s);
    }
}

static void nul_in_message(void **state)
{
  struct session s;

  (void)state;
  begin_data(&s);
  say(&s, "a\0b\r\n.\r\n", 8, 3, "550 5.6.0");
  say_text(&s, "NOOP\r\n", "250");
  session_close(&s);
}

static void nul_in_command(void **state)
{
  struct session s;

  (void)state;
  begin(&s, STRANGER);
  say(&s, "NO\0OP\r\nNOOP\r\n", 13, 100, "501 5.5.2");
  assert_int_equal(s.doing, ENDED);
  session_close(&s);
}

/* n bytes in lines of `line` bytes, then the end */
static char *big(size_t n, size_t line, const char *before)
{
  size_t at = strlen(before);
  char *text = malloc(at + n + n / line * 2 + 16);

  memcpy(text, before, at);
  for (size_t i = 0; i < n; i++) {
    text[at++] = 'x';
    if (i % line == line - 1) {
      text[at++] = '\r';
      text[at++] = '\n';
    }
  }
  strcpy(text + at, "\r\n.\r\n");
  return text;
}

static void limits(void **state)
{
  static const struct {
    size_t n, line;
    const char *before, *want;
  } cases[] = {
    {9000, 70, "\r\n", "250"},
    {11000, 70, "\r\n", "552 5.3.4"},
    {1000000, 70, "\r\n", "552 5.3.4"},
    {3000, 70, "X: ", "552 5.3.4"},
    {1999, 2000, "\r\n", "250"},
    {2001, 3000, "\r\n", "550 5.6.0"},
    {9000, 9000, "\r\n", "550 5.6.0"},
  };

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *text = big(cases[i].n, cases[i].line, cases[i].before);
    struct session s;
    begin_data(&s);
    say_text(&s, text, cases[i].want);
    session_close(&s);
    free(text);
  }
}

static void long_commands(void **state)
{
  char line[2000];

  (void)state;
  for (size_t piece = 1; piece < 2000; piece += 400) {
    struct session s;
    begin(&s, STRANGER);
    memset(line, 'x', sizeof line);
    memcpy(line + 508, "\r\nNOOP\r\n", 8);
    say(&s, line, 516, piece, "500 5.5.1\n250");
    memset(line, 'x', sizeof line);
    memcpy(line + sizeof line - 8, "\r\nNOOP\r\n", 8);
    say(&s, line, sizeof line, piece, "500 5.5.2\n250");
    session_close(&s);
  }
}

static void many_recipients(void **state)
{
  struct session s;

  (void)state;
  begin(&s, OURS);
  say_text(&s, HELLO "MAIL FROM:<s@a.example>\r\n", OFFERS "\n250");
  for (int i = 0; i < 100; i++)
    say_text(&s, "RCPT TO:<x@b.example>\r\n", "250");
  say_text(&s, "RCPT TO:<x@b.example>\r\n", "452 4.5.3");
  say_text(&s, "DATA\r\n", "354");
  assert_int_equal(s.mail.nrcpt, 100);
  session_close(&s);
  assert_int_equal(fake.aborted, 1);
}

/* long parameters: what one stranger can have us keep is bounded in bytes too */
static void large_recipients(void **state)
{
  const size_t most = 524288;
  struct session s;

  (void)state;
  for (int is_ours = 0; is_ours < 2; is_ours++) {
    begin(&s, is_ours ? OURS : STRANGER);
    say_text(&s, HELLO "MAIL FROM:<s@a.example>\r\nRCPT TO:<alice@example.org>\r\n", OFFERS "\n250\n250");
    assert_true(stralloc_ready(&s.mail.rcpts, most));
    memset(s.mail.rcpts.s + s.mail.rcpts.len, 0, most - s.mail.rcpts.len);
    s.mail.rcpts.len = most;
    say_text(&s, "RCPT TO:<alice@example.org>\r\n", is_ours ? "250" : "452 4.5.3");
    assert_int_equal(s.mail.nrcpt, is_ours ? 2 : 1);
    say_text(&s, "RSET\r\n", "250");
    session_close(&s);
  }
}

static void intake_faults(void **state)
{
  struct session s;

  (void)state;
  begin(&s, STRANGER);
  fake.no_intake = 1;
  say_text(&s, ENVELOPE, OFFERS "\n250\n250\n451 4.3.0");
  fake.no_intake = 0;
  fake.refuse_open = "452 4.3.1 disk full";
  say_text(&s, "DATA\r\n", "452 4.3.1 disk full");
  fake.refuse_open = NULL;
  say_text(&s, "MAIL FROM:<s@a.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n", "250\n250\n354");
  fake.refuse_commit = "nonsense\r\n250 ok";
  say_text(&s, "a: b\r\n\r\n.\r\n", "451 4.3.0");
  session_close(&s);

  begin(&s, "203.0.113.11"); /* without status codes */
  fake.refuse_open = "452 4.3.1 disk full";
  fake_feed(&s, ENVELOPE, sizeof ENVELOPE - 1, 1000);
  fake.refuse_open = NULL;
  assert_non_null(memmem(s.out.s, s.out.len, "452 disk full", 13));
  session_close(&s);

  begin_data(&s);
  say_text(&s, "a: b\r\n", "");
  fake.is_open = 0;
  session_lost(&s);
  say_text(&s, "\r\nmore\r\n.\r\nNOOP\r\n", "451 4.3.0\n250");
  assert_int_equal(fake.committed, 0);
  session_close(&s);
  assert_int_equal(fake.aborted, 0);

  begin_data(&s);
  fake.is_lost = 1;
  say_text(&s, "a: b\r\n\r\nmore\r\n.\r\nNOOP\r\n", "451 4.3.0\n250");
  session_close(&s);
}

/* a full channel: what was not taken is taken later, byte for byte */
static void slow_intake(void **state)
{
  struct session s;
  static const char text[] = "a: b\r\n\r\n..c\r\n.\r\nNOOP\r\n";
  size_t used;

  (void)state;
  begin_data(&s);
  s.out.len = 0;
  fake.is_full = 1;
  used = session_feed(&s, text, sizeof text - 1);
  assert_int_equal(used, 0);
  assert_int_equal(s.doing, FULL);
  fake.is_full = 0;
  session_room(&s);
  fake_feed(&s, text, sizeof text - 1, 1000);
  assert_true(replies_match(&s.out, "250 2.0.0\n250"));
  assert_true(message_is("a: b\r\n\r\n.c\r\n"));
  session_close(&s);

  begin_data(&s);
  s.out.len = 0;
  say_text(&s, "a: b\r\n\r\n", "");
  used = session_feed(&s, ".\r", 2);
  assert_int_equal(used, 2);
  fake.is_full = 1;
  used = session_feed(&s, "\nNOOP\r\n", 7);
  assert_int_equal(used, 1);
  assert_int_equal(s.doing, FULL);
  fake.is_full = 0;
  session_room(&s);
  fake_feed(&s, "NOOP\r\n", 6, 10);
  assert_true(replies_match(&s.out, "250 2.0.0\n250"));
  session_close(&s);
}

static void names(void **state)
{
  static const struct {
    const char *client, *greeting, *name, *said;
  } cases[] = {
    {OURS, "EHLO sub2\r\n", "sub2.example.org", "sub2"},
    {OURS, "EHLO sub2.\r\n", "sub2.example.org", "sub2."},
    {STRANGER, "EHLO sub2\r\n", "sub2", ""},
    {STRANGER, "EHLO a..b x\r\n", "a..b", "a..b x"},
    {STRANGER, "HELO 203.0.113.1\r\n", "[203.0.113.1]", "203.0.113.1"},
    {"203.0.113.8", "HELO\r\n", "[203.0.113.8]", ""},
  };

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct session s;
    begin(&s, cases[i].client);
    fake_feed(&s, cases[i].greeting, strlen(cases[i].greeting), 100);
    assert_string_equal(s.hello.name.s, cases[i].name);
    assert_string_equal(s.said.s, cases[i].said);
    session_close(&s);
  }
}

static void envelope(void **state)
{
  struct session s;

  (void)state;
  begin(&s, OURS);
  fake_feed(&s,
            HELLO "MAIL FROM:<Me> ENVID=a+2Bb RET=hdrs BODY=8bitmime\r\n"
                  "RCPT TO:<Bob@B.Example> NOTIFY=delay,SUCCESS ORCPT=rfc822;x+2By@z\r\n"
                  "RCPT TO:<postmaster>\r\n",
            sizeof HELLO - 1 + 140, 1000);
  assert_string_equal(s.mail.from.s, "Me@example.org");
  assert_string_equal(s.mail.envid.s, "a+2Bb");
  assert_string_equal(s.mail.ret, "HDRS");
  assert_true(s.mail.is_8bit && s.mail.is_relay);
  assert_int_equal(s.mail.nrcpt, 2);
  assert_memory_equal(s.mail.rcpts.s,
                      "Bob@b.example\0SUCCESS,DELAY\0rfc822;x+2By@z\0postmaster@mx.example.org\0\0\0",
                      s.mail.rcpts.len);
  session_close(&s);
}

/* many replies at once: the session stops taking commands until they are written */
static void bounded_output(void **state)
{
  static char many[20000 * 6];
  struct session s;
  size_t used;

  (void)state;
  for (size_t i = 0; i < sizeof many; i += 6)
    memcpy(many + i, "NOOP\r\n", 6);
  begin(&s, STRANGER);
  used = session_feed(&s, many, sizeof many);
  assert_true(used < sizeof many);
  assert_true(s.out.len <= SESSION_OUT_MAX + 600);
  s.out.len = 0;
  assert_true(session_feed(&s, many, sizeof many) > 0);
  session_close(&s);
}

/* RFC 3207: in its order, once, and all is forgotten; bytes behind it are never a command */
static void starttls(void **state)
{
  unsigned char bound[64];
  struct session s;

  (void)state;
  begin(&s, STRANGER);
  say_text(&s, "STARTTLS\r\n", "502 5.5.1");
  fake.has_tls = fake.no_tls_now = 1;
  say_text(&s, "STARTTLS\r\n", "454 4.7.0");
  fake.no_tls_now = 0;
  say_text(&s, HELLO, "250-mx.example.org\n250-SIZE 10240\n250-PIPELINING\n250-8BITMIME\n250-DSN\n"
                      "250-ENHANCEDSTATUSCODES\n250-SMTPUTF8\n250-CHUNKING\n250-LIMITS MAILMAX=3 RCPTMAX=100\n250-STARTTLS\n250 HELP");
  say_text(&s, "STARTTLS x\r\nMAIL FROM:<s@a.example>\r\nSTARTTLS\r\n", "501 5.5.4\n250\n503 5.5.1");
  say_text(&s, "RCPT TO:<alice@example.org>\r\nRSET\r\n", "250\n250");
  assert_int_equal(s.world->binding(&s, "tls-exporter", bound), -1);
  s.errors = 0;
  say_text(&s, "STARTTLS\r\nMAIL FROM:<evil@a.example>\r\n", "220 2.0.0");
  assert_true(s.tls.is_on);
  assert_string_equal(s.tls.version, "TLSv1.3");
  assert_string_equal(s.tls.cipher, "TLS_AES_256_GCM_SHA384");
  assert_int_equal(s.world->binding(&s, "tls-exporter", bound), 32);
  assert_int_equal(s.hello.name.len, 0);
  s.errors = 0;
  say_text(&s, "RCPT TO:<alice@example.org>\r\n", "503 5.5.1");
  say_text(&s, HELLO, OFFERS);
  assert_string_equal(session_protocol(&s), "ESMTPS");
  say_text(&s, "STARTTLS\r\nNOOP\r\n", "503 5.5.1\n250");
  session_close(&s);
}

/* a service that begins with TLS says nothing before */
static void tls_first(void **state)
{
  struct session s;
  struct ip ip;

  (void)state;
  clear_fake();
  fake.has_tls = 1;
  assert_int_equal(ip_parse(STRANGER, strlen(STRANGER), &ip), 0);
  session_start(&s, &fake_world, service_row(SERVICE_SUBMISSIONS), &ip, 4711);
  assert_int_equal(s.out.len, 0);
  assert_false(session_is_ready(&s));
  session_secured(&s, "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256");
  assert_true(replies_match(&s.out, "220 mx.example.org ESMTP"));
  say_text(&s, HELLO, OFFERS);
  session_close(&s);
}

/* only listed hosts; the session is the named client's from then on, and its rights too */
static void xclient(void **state)
{
  static const char *const bad[] = {
    "XCLIENT\r\n", "XCLIENT ADDR=x\r\n", "XCLIENT ADDR\r\n", "XCLIENT PORT=65536\r\n",
    "XCLIENT FOO=bar\r\n", "XCLIENT LOGIN=a+0Ab\r\n", "XCLIENT PROTO=HTTP\r\n", "XCLIENT NAME=a+b\r\n",
    "XCLIENT ADDR=192.0.2.1 LOGIN=\r\n",
  };
  struct session s;

  (void)state;
  begin(&s, OURS);
  say_text(&s, "XCLIENT ADDR=192.0.2.9\r\n", "502 5.5.1");
  session_close(&s);
  begin(&s, "198.18.0.1");
  say_text(&s, HELLO, "250-mx.example.org\n250-SIZE 10240\n250-PIPELINING\n250-8BITMIME\n250-DSN\n"
                      "250-ENHANCEDSTATUSCODES\n250-SMTPUTF8\n250-CHUNKING\n250-LIMITS MAILMAX=3 RCPTMAX=100\n"
                      "250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\n250 HELP");
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    s.errors = 0;
    say_text(&s, bad[i], "501 5.5.4");
    assert_string_equal(s.client, "198.18.0.1:4711");
  }
  say_text(&s, "MAIL FROM:<s@a.example>\r\nXCLIENT ADDR=192.0.2.9\r\nRSET\r\n", "250\n503 5.5.1\n250");
  say_text(&s, "XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.9 PORT=99 PROTO=esmtp HELO=x LOGIN=a+40b\r\n",
           "220 mx.example.org ESMTP");
  assert_string_equal(s.client, "192.0.2.9:99");
  assert_string_equal(s.login.s, "a@b");
  s.errors = 0;
  say_text(&s, "MAIL FROM:<s@a.example>\r\n", "503 5.5.1");
  say_text(&s, "EHLO a.example\r\nMAIL FROM:<s@a.example>\r\nRCPT TO:<x@elsewhere.example>\r\nRSET\r\n",
           "250\n250\n250\n250\n250\n250\n250\n250\n250\n250\n250\n250\n250\n250 2.0.0");
  session_close(&s);
}

static void xclient_unknown(void **state)
{
  struct session s;

  (void)state;
  begin(&s, "198.18.0.1");
  say_text(&s, "XCLIENT ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE] LOGIN=[UNAVAILABLE]\r\n", "220");
  assert_string_equal(s.client, "0.0.0.0:0");
  assert_int_equal(s.login.len, 0);
  say_text(&s, "XCLIENT ADDR=IPV6:2001:db8::7\r\n", "220");
  assert_string_equal(s.client, "[2001:db8::7]:0");
  session_close(&s);
}

#define TO_ALICE "MAIL FROM:<s@a.example>\r\nRCPT TO:<alice@example.org>\r\n"

/* BDAT: what is sent, what is answered, and the message that comes of it (NULL: none) */
static void chunks(void **state)
{
  static const struct {
    const char *sent, *want, *message;
  } cases[] = {
    {"BDAT 9 LAST\r\na: b\r\n\r\n.NOOP\r\n", "250 2.0.0 Ok: queued\n250", "a: b\r\n\r\n.\r\n"},
    {"BDAT 11 LAST\r\na: b\r\n\r\n.\r\nNOOP\r\n", "250 2.0.0 Ok: queued\n250", "a: b\r\n\r\n.\r\n"},
    {"BDAT 7\r\na: b\r\n\rBDAT 2\r\n\n.NOOP\r\nBDAT 4 last\r\n.\r\n.",
     "250 2.0.0 7 octets received\n250 2.0.0 2 octets received\n250\n250 2.0.0 Ok: queued",
     "a: b\r\n\r\n..\r\n.\r\n"},
    {"BDAT 6\r\na: b\r\nBDAT 0\r\nBDAT 0 LAST\r\n", "250\n250 2.0.0 0 octets\n250 2.0.0 Ok: queued", "a: b\r\n"},
    {"BDAT 0 LAST\r\nNOOP\r\n", "250 2.0.0 Ok: queued\n250", ""},
    {"BDAT 6\r\na: b\r\nDATA\r\nRCPT TO:<bob@example.org>\r\nBDAT 2 LAST\r\n\r\n",
     "250\n503 5.5.1 BDAT\n503 5.5.1 BDAT\n250 2.0.0 Ok: queued", "a: b\r\n\r\n"},
    {"BDAT 6\r\na: b\r\nRSET\r\nBDAT 6 LAST\r\nRSET\r\nNOOP\r\n", "250\n250\n503 5.5.1\n250", NULL},
    {"BDAT 4\r\na\n.\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "550 5.6.0\n503 5.5.1\n250", NULL},
    {"BDAT 4\r\na\r.\rBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "550 5.6.0\n503 5.5.1\n250", NULL},
    {"BDAT 2\r\na\rBDAT 1 LAST\r\nbNOOP\r\n", "250\n550 5.6.0\n250", NULL},
    {"BDAT 2 LAST\r\na\rNOOP\r\n", "550 5.6.0\n250", NULL},
    {"BDAT 6\r\na: b\r\nEHLO x\r\nNOOP\r\n", "250\n" OFFERS "\n250", NULL},
    {"BDAT 10241\r\nNOOP\r\n", "", NULL}, /* refused, but first its octets are to come */
    {"BDAT 6\r\na: b\r\nBDAT 18446744073709551615\r\nNOOP\r\n", "250", NULL},
    {"BDAT 18446744073709551616\r\nNOOP\r\n", "501 5.5.4", NULL},
    {"BDAT\r\nNOOP\r\n", "501 5.5.4", NULL}, {"BDAT -1\r\nNOOP\r\n", "501 5.5.4", NULL},
    {"BDAT 4 LASTS\r\nNOOP\r\n", "501 5.5.4", NULL}, {"BDAT 4\001\r\nNOOP\r\n", "501 5.5.4", NULL},
    {"BDAT 4 BODY\r\nNOOP\r\n", "501 5.5.4", NULL},
  };

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (size_t piece = 1; piece < 100; piece++) {
      struct session s;
      begin(&s, STRANGER);
      say_text(&s, HELLO TO_ALICE, OFFERS "\n250\n250");
      say(&s, cases[i].sent, strlen(cases[i].sent), piece, cases[i].want);
      assert_int_equal(fake.committed, cases[i].message != NULL);
      if (cases[i].message)
        assert_true(message_is(cases[i].message));
      session_close(&s);
      assert_int_equal(fake.opened, fake.committed + fake.aborted);
    }
}

static void refused_chunks(void **state)
{
  char line[800];
  struct session s;

  (void)state;
  /* before MAIL, before RCPT, not offered: the octets are no commands */
  begin(&s, STRANGER);
  say_text(&s, "BDAT 6\r\nQUIT\r\n" HELLO, "503 5.5.1 send EHLO\n" OFFERS);
  say_text(&s, "BDAT 6 LAST\r\nQUIT\r\nMAIL FROM:<s@a.example>\r\n", "503 5.5.1\n250");
  say_text(&s, "BDAT 6 LAST\r\nQUIT\r\nRCPT TO:<alice@example.org>\r\n", "554 5.5.1\n250");
  say_text(&s, "BDAT 6 LAST\r\na: b\r\n", "250 2.0.0 Ok");
  session_close(&s);
  begin(&s, "203.0.113.10");
  s.verbs_off |= 1U << VERBN_CHUNKING;
  say_text(&s, "BDAT 6\r\nQUIT\r\nNOOP\r\n", "502 5.5.1\n250");
  session_close(&s);

  /* the intake cannot be had, does not take it, gives it up between two chunks */
  begin(&s, STRANGER);
  say_text(&s, HELLO TO_ALICE, OFFERS "\n250\n250");
  fake.no_intake = 1;
  say_text(&s, "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "451 4.3.0\n250");
  fake.no_intake = 0;
  say_text(&s, "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "503 5.5.1\n250"); /* it is not the beginning */
  fake.refuse_open = "452 4.3.1 disk full";
  say_text(&s, TO_ALICE "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "250\n250\n452 4.3.1 disk full\n250");
  fake.refuse_open = NULL;
  say_text(&s, TO_ALICE "BDAT 6\r\na: b\r\n", "250\n250\n250");
  s.out.len = 0;
  fake.is_open = 0;
  session_refused(&s, "452 4.3.1 disk full now");
  assert_int_equal(s.out.len, 0);
  say_text(&s, "NOOP\r\nBDAT 6\r\nQUIT\r\nNOOP\r\n", "250\n452 4.3.1 disk full now\n250");
  fake.refuse_commit = "550 5.6.0 no";
  say_text(&s, TO_ALICE "BDAT 6 LAST\r\na: b\r\n", "250\n250\n550 5.6.0 no");
  session_close(&s);

  /* too big, all together */
  begin(&s, STRANGER);
  say_text(&s, HELLO TO_ALICE "BDAT 6\r\na: b\r\nBDAT 10235 LAST\r\n", OFFERS "\n250\n250\n250");
  memset(line, 'x', sizeof line);
  for (size_t i = 0; i < 12; i++)
    say(&s, line, 800, 800, "");
  say(&s, line, 635, 635, "552 5.3.4");
  say_text(&s, "NOOP\r\n", "250");
  session_close(&s);

  /* a BDAT line that is too long cannot be read */
  begin(&s, STRANGER);
  memset(line, ' ', sizeof line);
  memcpy(line, "BDAT 6", 6);
  say(&s, line, sizeof line, 100, "501 5.5.4");
  assert_int_equal(s.doing, ENDED);
  session_close(&s);
}

static void slow_intake_and_chunks(void **state)
{
  struct session s;

  (void)state;
  begin(&s, STRANGER);
  say_text(&s, HELLO TO_ALICE "BDAT 7\r\na: b\r\nx", OFFERS "\n250\n250\n250");
  s.out.len = 0;
  fake.is_full = 1;
  assert_int_equal(session_feed(&s, "BDAT 0 LAST\r\n", 13), 13);
  assert_int_equal(s.doing, FULL);
  session_room(&s);
  assert_int_equal(s.doing, FULL);
  fake.is_full = 0;
  session_room(&s);
  fake_feed(&s, "NOOP\r\n", 6, 10);
  assert_true(replies_match(&s.out, "250 2.0.0 Ok: queued\n250"));
  assert_true(message_is("a: b\r\nx\r\n"));
  session_close(&s);
}

static void lmtp(void **state)
{
  struct session s;

  (void)state;
  begin_at(&s, SERVICE_LMTP, OURS);
  say_text(&s, HELLO, "500 5.5.1 this is LMTP");
  say_text(&s, "MAIL FROM:<s@a.example>\r\n", "503 5.5.1 send LHLO");
  session_close(&s);
  begin_at(&s, SERVICE_LMTP, OURS);
  say_text(&s, "LHLO a.example\r\n", OFFERS);
  say_text(&s, "MAIL FROM:<s@a.example>\r\nRCPT TO:<nobody@example.org>\r\nDATA\r\n", "250\n550\n503 5.5.1");
  session_close(&s);
  begin_at(&s, SERVICE_LMTP, OURS);
  say_text(&s, "LHLO a.example\r\n" TO_ALICE "RCPT TO:<bob@example.org>\r\nDATA\r\n",
           OFFERS "\n250\n250\n250\n354");
  say_text(&s, "a: b\r\n.\r\nNOOP\r\n", "250 2.0.0 Ok: queued as\n250 2.0.0 Ok: queued as\n250 2.0.0 Ok");
  assert_non_null(memmem(fake.message.s, fake.message.len, " with LMTP id ", 14));
  say_text(&s, TO_ALICE "RCPT TO:<bob@example.org>\r\nDATA\r\n", "250\n250\n250\n354");
  say_text(&s, "a\n\r\n.\r\nNOOP\r\n", "550 5.6.0\n550 5.6.0\n250");
  say_text(&s, TO_ALICE "RCPT TO:<bob@example.org>\r\nBDAT 6\r\na: b\r\n", "250\n250\n250\n250");
  fake.refuse_commit = "452 4.3.1 full";
  say_text(&s, "BDAT 0 LAST\r\nNOOP\r\n", "452 4.3.1\n452 4.3.1\n250");
  session_close(&s);
  begin(&s, OURS);
  say_text(&s, "LHLO x\r\n", "500 5.5.1 this is SMTP");
  session_close(&s);
}

/* keys of table verbs for one service go before those for all */
static void verbs_of_a_service(void **state)
{
  static const struct {
    enum service_number service;
    const char *client, *off; /* a word of the offers, and whether it is there */
    int is_there;
  } cases[] = {
    {SERVICE_MX, "203.0.113.9", "8BITMIME", 0}, {SERVICE_MX, "203.0.113.9", "CHUNKING", 1},
    {SERVICE_SUBMISSION, "203.0.113.9", "8BITMIME", 1}, {SERVICE_SUBMISSION, "203.0.113.9", "CHUNKING", 0},
    {SERVICE_SUBMISSION, STRANGER, "CHUNKING", 1}, {SERVICE_SUBMISSION, STRANGER, "LIMITS", 0},
    {SERVICE_MX, STRANGER, "LIMITS", 1},
  };

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct session s;
    begin_at(&s, cases[i].service, cases[i].client);
    fake_feed(&s, HELLO, strlen(HELLO), 100);
    assert_int_equal(memmem(s.out.s, s.out.len, cases[i].off, strlen(cases[i].off)) != NULL, cases[i].is_there);
    session_close(&s);
  }
}

static void help(void **state)
{
  struct session s;

  (void)state;
  begin(&s, STRANGER);
  say_text(&s, "HELP\r\n" HELLO "HELP\r\n",
           "214 2.0.0 taken now: EHLO HELO RSET QUIT NOOP VRFY HELP;\n" OFFERS
           "\n214 2.0.0 taken now: MAIL EHLO HELO RSET QUIT NOOP VRFY HELP;");
  say_text(&s, TO_ALICE "HELP\r\n",
           "250\n250\n214 2.0.0 taken now: RCPT DATA BDAT EHLO HELO RSET QUIT NOOP VRFY HELP;");
  session_close(&s);
}

/* fields that are missing come at the header's end, on services that complete messages only */
static void completed(void **state)
{
  static const char sent[] = "Subject: x\r\ndate : y\r\n\r\nbody\r\n.\r\n";
  struct session s;
  const char *at;

  (void)state;
  for (size_t piece = 1; piece < sizeof sent; piece++) {
    begin_at(&s, SERVICE_SUBMISSION, OURS);
    say_text(&s, "HELO a.example\r\nMAIL FROM:<>\r\nRCPT TO:<x@b.example>\r\nDATA\r\n", "250\n250\n250\n354");
    say(&s, sent, sizeof sent - 1, piece, "250");
    at = memmem(fake.message.s, fake.message.len, "Subject", 7);
    assert_non_null(at);
    assert_memory_equal(at, "Subject: x\r\ndate : y\r\nMessage-ID: <42.1@mx.example.org>\r\n"
                            "From: <MAILER-DAEMON@mx.example.org>\r\n\r\nbody\r\n", 103);
    session_close(&s);
  }
  begin(&s, STRANGER);
  say_text(&s, ENVELOPE " x\r\n.\r\n", ENVELOPE_OK "\n250");
  assert_true(message_is("\r\n x\r\n"));
  session_close(&s);
}

/* bare LF of a client that is listed: lines, but no end */
static void bare_lf_taken(void **state)
{
  struct session s;

  (void)state;
  for (size_t piece = 1; piece < 40; piece++) {
    static const char sent[] = "a: b\n\n.\nMAIL FROM:<x@y>\n.\r\n..c\n\r\n.\nd\r\n.\r\nNOOP\r\n";
    begin(&s, "203.0.113.20");
    say_text(&s, ENVELOPE, ENVELOPE_OK);
    say(&s, sent, sizeof sent - 1, piece, "250 2.0.0 Ok: queued\n250");
    assert_true(message_is("a: b\r\n\r\n.\r\nMAIL FROM:<x@y>\r\n.\r\n.c\r\n\r\n.\r\nd\r\n"));
    session_close(&s);
  }
}

/* what a later command can see of a session */
static int is_same(const struct session *a, const struct session *b)
{
  return a->doing == b->doing && a->order == b->order && a->is_esmtp == b->is_esmtp &&
         a->verbs_off == b->verbs_off && a->messages == b->messages && a->mail.nrcpt == b->mail.nrcpt &&
         a->mail.is_8bit == b->mail.is_8bit && a->mail.is_relay == b->mail.is_relay &&
         a->mail.is_utf8 == b->mail.is_utf8 && strcmp(a->mail.ret, b->mail.ret) == 0 &&
         a->mail.from.len == b->mail.from.len && a->mail.envid.len == b->mail.envid.len &&
         a->mail.rcpts.len == b->mail.rcpts.len && a->hello.name.len == b->hello.name.len &&
         a->hello.name.s == b->hello.name.s && a->chunk.is_open == b->chunk.is_open &&
         a->chunk.is_reading == b->chunk.is_reading && a->chunk.refusal == b->chunk.refusal &&
         a->end.size == b->end.size && a->refusal == b->refusal;
}

/* each command in each state: where it is refused, the state is what it was */
static void refusals_change_nothing(void **state)
{
  static const char *const states[] = {
    "", HELLO, HELLO "MAIL FROM:<s@a.example> BODY=8BITMIME RET=HDRS ENVID=x SMTPUTF8\r\n", HELLO TO_ALICE,
    (HELLO TO_ALICE "BDAT 6\r\na: b\r\n"), ("HELO a.example\r\n" TO_ALICE),
  };
  static const char *const commands[] = {
    "EHLO\r\n", "HELO a\001\r\n", "LHLO x\r\n", "MAIL FROM:<t@a.example>\r\n", "MAIL\r\n", "MAIL FROM:<t\r\n",
    "MAIL FROM:<t@a.example> BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=y SIZE=1 SIZE=2\r\n",
    "MAIL FROM:<t@a.example> BODY=BINARYMIME\r\n", "MAIL FROM:<spam@bad.example> SMTPUTF8\r\n",
    "MAIL FROM:<t@a.example> SIZE=99999999\r\n", "MAIL FROM:<\xc3\xbc@a.example>\r\n", "MAIL FROM:<t>\r\n",
    "RCPT TO:<nobody@example.org>\r\n", "RCPT TO:<slow@example.org>\r\n", "RCPT TO:<x@elsewhere.example>\r\n",
    "RCPT TO:<secret@example.org>\r\n", "RCPT TO:<>\r\n", "RCPT TO:<bob>\r\n", "RCPT TO:<\xff@example.org>\r\n",
    "RCPT TO:<alice@example.org> NOTIFY=NEVER,DELAY\r\n", "RCPT TO:<alice@example.org> ORCPT=x\r\n",
    "RCPT TO:<alice%elsewhere.example@example.org>\r\n", "DATA x\r\n", "DATA\r\n", "BDAT 6 LAST\r\nRSET\r\n",
    "BDAT 6\r\nRSET\r\n", "RSET x\r\n", "QUIT x\r\n", "VRFY\r\n", "VRFY \xc3\xbc\r\n", "EXPN x\r\n", "ETRN x\r\n", "STARTTLS x\r\n",
    "AUTH NONE\r\n", "XYZZY\r\n", "\r\n", "NO\001OP\r\n", "MAIL FROM:<a@b> A=\001\r\n",
  };
  unsigned int refused = 0;

  (void)state;
  for (size_t i = 0; i < sizeof states / sizeof *states; i++)
    for (size_t k = 0; k < sizeof commands / sizeof *commands; k++) {
      struct session s, before;
      begin(&s, STRANGER);
      fake_feed(&s, states[i], strlen(states[i]), 1000);
      before = s;
      s.out.len = 0;
      fake_feed(&s, commands[k], strlen(commands[k]), 1000);
      if (s.out.len > 0 && s.out.s[0] >= '4') {
        if (!is_same(&s, &before))
          print_message("# in state %zu: %s", i, commands[k]);
        assert_true(is_same(&s, &before));
        refused++;
      }
      session_close(&s);
    }
  assert_true(refused > 150);
}

static int load(void **state)
{
  struct table *t = fake_tables(tables);
  const char *bad = "tables";

  fake.table = t;
  *state = t;
  if (t && settings_load(t, &bad) == 0)
    return 0;
  print_message("# %s\n", bad);
  return -1;
}

static int unload(void **state)
{
  clear_fake();
  table_close(*state);
  return 0;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(run_scripts),     cmocka_unit_test(message_is_handed_on),
    cmocka_unit_test(refused_messages), cmocka_unit_test(nul_in_message),
    cmocka_unit_test(nul_in_command),  cmocka_unit_test(limits),
    cmocka_unit_test(long_commands),   cmocka_unit_test(many_recipients),
    cmocka_unit_test(large_recipients),
    cmocka_unit_test(intake_faults),   cmocka_unit_test(slow_intake),
    cmocka_unit_test(names),           cmocka_unit_test(envelope),
    cmocka_unit_test(bounded_output),   cmocka_unit_test(starttls),
    cmocka_unit_test(tls_first),        cmocka_unit_test(xclient),
    cmocka_unit_test(xclient_unknown),
    cmocka_unit_test(chunks),
    cmocka_unit_test(refused_chunks),  cmocka_unit_test(slow_intake_and_chunks),
    cmocka_unit_test(lmtp),            cmocka_unit_test(verbs_of_a_service), cmocka_unit_test(help),
    cmocka_unit_test(completed),       cmocka_unit_test(bare_lf_taken),
    cmocka_unit_test(refusals_change_nothing),
  };

  return cmocka_run_group_tests_name("session", tests, load, unload);
}
