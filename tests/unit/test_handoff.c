/* test_handoff.c - our end of the INJECT channel, against an intake in a child process */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/chan.h"
#include "smtpd/handoff.h"

#define MANY 100000 /* recipients: more than a channel holds */

static char events[256]; /* what the handoff said, a letter each */

static void say(char c)
{
  size_t n = strlen(events);

  if (n + 1 < sizeof events) {
    events[n] = c;
    events[n + 1] = 0;
  }
  loop_end();
}

static void on_opened(struct handoff *h, const char *id)
{
  (void)h;
  say(strcmp(id, "42.1") == 0 ? 'O' : '?');
}

static void on_done(struct handoff *h, const char *id)
{
  (void)h;
  say(strcmp(id, "42.1") == 0 ? 'D' : '?');
}

static void on_refused(struct handoff *h, const char *reply)
{
  (void)h;
  say(strcmp(reply, "452 4.3.1 full") == 0 ? 'R' : '?');
}

static void on_lost(struct handoff *h)
{
  (void)h;
  say('L');
}

static void on_room(struct handoff *h)
{
  (void)h;
  say('+');
}

static const struct handoff_ops ops = {on_opened, on_done, on_refused, on_lost, on_room};

static void answer(int sock, enum wire_type type, const struct wire_msg *m)
{
  struct wire_out o;
  uint64_t number;

  if (wire_get_num(m, 0, UINT64_MAX, &number) != 0)
    _exit(2);
  wire_start(&o, type);
  wire_num(&o, number);
  if (type == WIRE_REFUSED) {
    wire_str(&o, "temp");
    wire_str(&o, "452 4.3.1 full");
  } else {
    wire_str(&o, "42.1");
  }
  chan_send_blocking(sock, &o, -1);
}

/* takes messages; a sender that begins with "refuse" is refused, "die" ends the process */
static void intake(int sock)
{
  struct wire_msg m;
  uint64_t left = 0;
  int is_last = 0;

  while (chan_recv_blocking(sock, LINK_INJECT, WIRE_HIGH, 20000, &m) == 1) {
    switch (m.type) {
    case WIRE_BEGIN:
      is_last = wire_is(&m, 2, "die@a.example");
      if (wire_is(&m, 2, "refuse@a.example"))
        answer(sock, WIRE_REFUSED, &m);
      else if (wire_is(&m, 2, "slow@a.example"))
        usleep(300000);
      if (wire_get_num(&m, 8, MANY, &left) != 0 || m.n != 12)
        _exit(3);
      /* it brings the first recipient */
      /* fall through */
    case WIRE_RCPT:
      if (is_last)
        _exit(0);
      if (--left == 0)
        answer(sock, WIRE_OPENED, &m);
      break;
    case WIRE_COMMIT:
      answer(sock, WIRE_DONE, &m);
      break;
    default:
      break;
    }
  }
  _exit(0);
}

static pid_t child;

static void connect_intake(void)
{
  int fd[2];

  events[0] = 0;
  assert_int_equal(chan_pair(fd), 0);
  child = fork();
  if (child == 0) {
    close(fd[0]);
    intake(fd[1]);
  }
  close(fd[1]);
  assert_int_equal(handoff_channel(fd[0]), 0);
}

static void end_intake(void)
{
  int status;

  kill(child, SIGKILL);
  waitpid(child, &status, 0);
}

static int open_with(struct handoff *h, const char *sender, const stralloc *rcpts, size_t n)
{
  struct handoff_mail m = {.flags = "", .sender = sender, .envid = "", .ret = "",
                           .client = "192.0.2.1:4711", .helo = "a.example", .protocol = "ESMTP",
                           .rcpts = rcpts, .nrcpt = n};

  return handoff_open(h, &m);
}

static int make_rcpts(stralloc *rcpts, size_t n)
{
  static const char one[] = "somebody.with.a.long.name@example.org\0\0";

  if (!stralloc_copys(rcpts, ""))
    return -1;
  while (n-- > 0)
    if (!stralloc_catb(rcpts, one, sizeof one))
      return -1;
  return 0;
}

static void one_message(void **state)
{
  struct handoff h = {.ops = &ops};
  stralloc rcpts = {0};

  (void)state;
  connect_intake();
  assert_int_equal(make_rcpts(&rcpts, 3), 0);
  assert_int_equal(open_with(&h, "s@a.example", &rcpts, 3), 0);
  assert_int_equal(handoff_data(&h, "x", 1), -1); /* not yet */
  loop_run();
  assert_int_equal(handoff_data(&h, "x\r\n", 3), 0);
  assert_int_equal(handoff_commit(&h), 0);
  assert_int_equal(handoff_data(&h, "y", 1), -1); /* not any more */
  loop_run();
  assert_string_equal(events, "OD");
  assert_int_equal(h.state, HANDOFF_IDLE);
  end_intake();
  stralloc_free(&rcpts);
}

static void refused_and_lost(void **state)
{
  struct handoff a = {.ops = &ops}, b = {.ops = &ops}, c = {.ops = &ops};
  stralloc rcpts = {0};

  (void)state;
  connect_intake();
  assert_int_equal(make_rcpts(&rcpts, 1), 0);
  assert_int_equal(open_with(&a, "refuse@a.example", &rcpts, 1), 0);
  loop_run();
  assert_string_equal(events, "R");
  /* a message that is given up hears nothing, even when the answer was on its way */
  assert_int_equal(open_with(&a, "s@a.example", &rcpts, 1), 0);
  handoff_abort(&a);
  assert_int_equal(open_with(&b, "s@a.example", &rcpts, 1), 0);
  loop_run();
  assert_string_equal(events, "RO");
  assert_int_equal(b.state, HANDOFF_OPEN);
  assert_int_equal(open_with(&c, "die@a.example", &rcpts, 1), 0);
  while (strlen(events) < 4)
    loop_run();
  assert_string_equal(events, "ROLL");
  assert_int_equal(open_with(&a, "s@a.example", &rcpts, 1), -1);
  end_intake();
  stralloc_free(&rcpts);
}

/* more recipients than the channel holds: the rest follows when there is room */
static void full_channel(void **state)
{
  struct handoff h = {.ops = &ops}, other = {.ops = &ops};
  stralloc rcpts = {0}, few = {0};

  (void)state;
  connect_intake();
  assert_int_equal(make_rcpts(&rcpts, MANY), 0);
  assert_int_equal(make_rcpts(&few, 1), 0);
  assert_int_equal(open_with(&other, "s@a.example", &few, 1), 0);
  loop_run();
  assert_string_equal(events, "O");
  assert_int_equal(open_with(&h, "slow@a.example", &rcpts, MANY), 0);
  assert_int_equal(h.wants_room, 1);
  assert_int_equal(handoff_data(&other, "x\r\n", 3), -1);
  assert_int_equal(errno, EAGAIN);
  while (strlen(events) < 3)
    loop_run();
  assert_true(strcmp(events, "O+O") == 0);
  assert_int_equal(h.state, HANDOFF_OPEN);
  assert_int_equal(h.at, rcpts.len);
  handoff_abort(&h);
  handoff_abort(&other);
  end_intake();
  stralloc_free(&rcpts);
  stralloc_free(&few);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(one_message),
    cmocka_unit_test(refused_and_lost),
    cmocka_unit_test(full_channel),
  };

  signal(SIGPIPE, SIG_IGN);
  return cmocka_run_group_tests_name("handoff", tests, NULL, NULL);
}
