/* test_spoken.c - what is kept of a dialogue: lines, bounds, no message, no secrets */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/chan.h"
#include "deliver/spoken.h"
#include "queue/dialogue.h"

static struct spoken s;

static int set_up(void **state)
{
  (void)state;
  spoken_start(&s, -1);
  spoken_session(&s, "mx.example", "192.0.2.1", 25);
  return 0;
}

static int tear_down(void **state)
{
  (void)state;
  assert_int_equal(dialogue_check(s.text.s, s.text.len), 0);
  spoken_free(&s);
  return 0;
}

static void say(const char *text)
{
  spoken_said(&s, text, strlen(text));
}

static void hear(const char *text)
{
  spoken_heard(&s, text, strlen(text));
}

/* the lines without their times */
static const char *lines(void)
{
  static char out[200000];
  size_t n = 0;
  int is_time = 1;

  for (size_t i = 0; i < s.text.len; i++) {
    if (!is_time)
      out[n++] = s.text.s[i];
    if (s.text.s[i] == ' ')
      is_time = 0;
    else if (s.text.s[i] == '\n')
      is_time = 1;
  }
  out[n] = 0;
  return out;
}

#define BEGAN "* connecting to mx.example [192.0.2.1]:25\n"

static void test_dialogue(void **state)
{
  (void)state;
  hear("220 m");
  hear("x\r\n");
  spoken_over(&s, SAW_REPLY);
  say("EHLO us\r\n");
  hear("250-mx\r\n250 SIZE\n");
  spoken_over(&s, SAW_REPLY);
  say("MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n");
  hear("25");
  spoken_over(&s, SAW_PART);
  assert_string_equal(lines(), BEGAN "S 220 mx\nC EHLO us\nS 250-mx\nS 250 SIZE\nC MAIL FROM:<>\n"
                                     "C RCPT TO:<a@b>\nC DATA\nS 25\n"
                                     "* the connection ended within this reply\n");
}

static void test_hostile(void **state)
{
  (void)state;
  spoken_heard(&s, "220 \0\x1b[2J\xff\"\t\r\r\n", 15);
  spoken_over(&s, SAW_GARBLED);
  assert_string_equal(lines(), BEGAN "S 220 \\x00\\x1b[2J\\xff\\x22\\x09\\x0d\n* this is no reply\n");
}

static void test_message_is_a_number(void **state)
{
  (void)state;
  spoken_data(&s, 1);
  say("Subject: secret\r\n");
  say("\r\nhello\r\n.\r\n");
  spoken_data(&s, 0);
  spoken_data(&s, 0);
  assert_string_equal(lines(), BEGAN "* the message was sent: 29 bytes, its last dot among them\n");
}

static void test_secrets(void **state)
{
  (void)state;
  say("auth PLAIN AGFsaWNlAHNlY3JldA==\r\n");
  hear("334 VXNlcm5hbWU6\r\n");
  spoken_over(&s, SAW_REPLY);
  say("c2VjcmV0\r\n");
  hear("235 fine\r\n");
  spoken_over(&s, SAW_REPLY);
  say("MAIL FROM:<>\r\n");
  say("AUTH LOGIN\r\n");
  hear("535 no\r\n");
  spoken_over(&s, SAW_REPLY);
  say("QUIT\r\n");
  assert_string_equal(lines(), BEGAN "C auth PLAIN ***\nS 334 VXNlcm5hbWU6\nC ***\nS 235 fine\n"
                                     "C MAIL FROM:<>\nC AUTH LOGIN\nS 535 no\nC QUIT\n");
}

static void test_bounds(void **state)
{
  char line[2000];

  (void)state;
  memset(line, 'x', sizeof line);
  memcpy(line, "250-", 4);
  line[sizeof line - 2] = '\n';
  line[sizeof line - 1] = 0;
  hear(line);
  assert_non_null(strstr(lines(), "* 1499 more bytes of this line are not kept\n"));
  for (int i = 0; i < 1000; i++)
    hear("250-x\r\n");
  spoken_over(&s, SAW_ENDLESS);
  assert_non_null(strstr(lines(), "* 961 more lines of this reply are not kept\n"));
  for (int session = 0; session < 100; session++) {
    spoken_session(&s, "mx.example", "192.0.2.1", 25);
    for (int i = 0; i < 100; i++) {
      size_t before = s.session;
      say(line);
      assert_true(s.session < SPOKEN_SESSION + 3000 && s.session >= before);
    }
    spoken_over(&s, SAW_CLOSE);
  }
  assert_true(s.text.len < SPOKEN_ALL + 3000);
  assert_non_null(strstr(lines(), "* what else was said on this connection is not kept\n"));
}

/* long dialogues are passed on in pieces that the channel takes */
static void test_pieces(void **state)
{
  struct wire_msg m;
  size_t got = 0;
  int pair[2];

  (void)state;
  spoken_free(&s);
  assert_int_equal(chan_pair(pair), 0);
  spoken_start(&s, pair[1]);
  for (int session = 0; session < 10; session++) {
    spoken_session(&s, "mx.example", "192.0.2.1", 25);
    for (int i = 0; i < 1000; i++)
      say("NOOP \x01\x02\x03\x04\x05\x06\r\n");
  }
  assert_true(s.text.len < SPOKEN_FRAME + DIALOGUE_LINE);
  close(pair[1]);
  while (chan_recv_blocking(pair[0], LINK_REPORT, WIRE_HIGH, 1000, &m) == 1) {
    assert_int_equal(m.type, WIRE_SPOKEN);
    assert_int_equal(dialogue_check(m.f[0].s, m.f[0].len), 0);
    got += m.f[0].len;
  }
  assert_true(got >= SPOKEN_FRAME && got + s.text.len < SPOKEN_ALL + 3000);
  close(pair[0]);
}

static void test_off(void **state)
{
  (void)state;
  spoken_free(&s);
  memset(&s, 0, sizeof s);
  hear("220 x\r\n");
  say("QUIT\r\n");
  spoken_over(&s, SAW_CLOSE);
  spoken_over(NULL, SAW_CLOSE);
  spoken_said(NULL, "x", 1);
  assert_int_equal(s.text.len, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
  const struct CMUnitTest tests[] = {TEST(test_dialogue), TEST(test_hostile),
                                     TEST(test_message_is_a_number), TEST(test_secrets),
                                     TEST(test_bounds), TEST(test_pieces), TEST(test_off)};

  return cmocka_run_group_tests_name("spoken", tests, NULL, NULL);
}
