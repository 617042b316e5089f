/* test_chan.c - channels: order, descriptors, bounded queues, and ends that misbehave */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/chan.h"

struct seen {
  uint64_t numbers[4096];
  size_t n, closed, drained;
  int keep_fd, kept; /* take descriptors */
  int pause_after, refuse, close_after, free_when_closed;
  const char *why;
};

static int fail_sendmsg, fail_recvmsg; /* with this errno, so often */
static unsigned int failures, turns;

ssize_t __real_sendmsg(int fd, const struct msghdr *h, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *h, int flags);
ssize_t __real_recvmsg(int fd, struct msghdr *h, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *h, int flags);

static int fails(int error)
{
  if (error == 0 || failures == 0)
    return 0;
  failures--;
  errno = error;
  return 1;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *h, int flags)
{
  return fails(fail_sendmsg) ? -1 : __real_sendmsg(fd, h, flags);
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *h, int flags)
{
  return fails(fail_recvmsg) ? -1 : __real_recvmsg(fd, h, flags);
}

static void on_turn(struct loop_timer *t)
{
  if (turns-- == 0 || loop_timer_in(t, 1) != 0)
    loop_end();
}

/* so many turns of the loop, however busy the machine is: in each all is done that is ready */
static void run_for(unsigned int n)
{
  static struct loop_timer timer = {.fire = on_turn};

  turns = n;
  assert_int_equal(loop_timer_in(&timer, 0), 0);
  loop_run();
}

static int on_message(struct chan *c, struct wire_msg *m, const char **why)
{
  struct seen *s = c->owner;
  uint64_t v = 0;

  if (m->n > 0)
    wire_get_num(m, 0, UINT64_MAX, &v);
  if (s->n < 4096)
    s->numbers[s->n] = v;
  s->n++;
  if (s->keep_fd && m->fd >= 0) {
    s->kept = m->fd;
    m->fd = -1;
  }
  if (s->pause_after && s->n == (size_t)s->pause_after)
    chan_pause(c);
  if (s->close_after && s->n == (size_t)s->close_after)
    chan_close(c);
  *why = "the reason";
  return s->refuse ? -1 : 0;
}

static void on_closed(struct chan *c, const char *why)
{
  struct seen *s = c->owner;

  assert_false(chan_is_open(c));
  s->closed++;
  s->why = why;
  if (s->free_when_closed)
    free(c);
}

static void on_drained(struct chan *c)
{
  struct seen *s = c->owner;

  s->drained++;
}

static const struct chan_ops ops = {on_message, on_closed, on_drained};

/* a NEWS channel: the intake's end (low) in a, the manager's (high) in b */
struct pair {
  struct chan a, b;
  struct seen at_a, at_b;
};

static void open_pair(struct pair *p, enum wire_link link)
{
  int fd[2];

  memset(p, 0, sizeof *p);
  p->a.owner = &p->at_a;
  p->b.owner = &p->at_b;
  assert_int_equal(chan_pair(fd), 0);
  assert_true(fcntl(fd[0], F_GETFD) & FD_CLOEXEC);
  assert_int_equal(chan_open(&p->a, fd[0], link, WIRE_LOW, &ops), 0);
  assert_int_equal(chan_open(&p->b, fd[1], link, WIRE_HIGH, &ops), 0);
}

static void close_pair(struct pair *p)
{
  chan_close(&p->a);
  chan_close(&p->b);
  chan_close(&p->a); /* harmless */
}

static int send_commit(struct chan *c, uint64_t m)
{
  struct wire_out o;

  wire_start(&o, WIRE_COMMIT);
  wire_num(&o, m);
  return chan_send(c, &o, -1);
}

static int open_fds(void)
{
  DIR *d = opendir("/proc/self/fd");
  int n = 0;

  while (readdir(d))
    n++;
  closedir(d);
  return n;
}

static void test_order(void **state)
{
  static struct pair p;

  (void)state;
  open_pair(&p, LINK_INJECT);
  for (uint64_t i = 0; i < 4000; i++)
    assert_int_equal(send_commit(&p.a, i), 0); /* many more than a socket holds */
  assert_true(p.a.queued > 0);
  run_for(50);
  assert_int_equal(p.at_b.n, 4000);
  for (uint64_t i = 0; i < 4000; i++)
    assert_int_equal(p.at_b.numbers[i], i);
  assert_int_equal(p.a.queued, 0);
  close_pair(&p);
}

static void test_full_queue(void **state)
{
  static struct pair p;
  uint64_t sent = 0, before;

  (void)state;
  open_pair(&p, LINK_INJECT);
  p.a.bound = 200;
  while (send_commit(&p.a, sent) == 0)
    sent++;
  assert_int_equal(errno, EAGAIN);
  assert_true(p.a.queued <= 200);
  assert_int_equal(p.at_a.drained, 0);
  run_for(20);
  assert_int_equal(p.at_a.drained, 1);
  assert_int_equal(p.at_b.n, sent);
  before = sent;
  assert_int_equal(send_commit(&p.a, sent++), 0);
  run_for(20);
  assert_int_equal(p.at_b.n, before + 1);
  close_pair(&p);
}

static void test_pause(void **state)
{
  static struct pair p;

  (void)state;
  open_pair(&p, LINK_INJECT);
  p.at_b.pause_after = 3;
  for (uint64_t i = 0; i < 100; i++)
    assert_int_equal(send_commit(&p.a, i), 0);
  run_for(20);
  assert_int_equal(p.at_b.n, 3);
  run_for(20);
  assert_int_equal(p.at_b.n, 3);
  chan_resume(&p.b);
  run_for(20);
  assert_int_equal(p.at_b.n, 100);
  close_pair(&p);
}

static int send_client(struct chan *c, int fd)
{
  struct wire_out o;

  wire_start(&o, WIRE_CLIENT);
  wire_str(&o, "bounce");
  return chan_send(c, &o, fd);
}

/* a descriptor arrives, also by way of the queue; one that nobody takes is closed */
static void test_descriptors(void **state)
{
  static struct pair p;
  int before = open_fds(), pipes[2];
  char buf[2];

  (void)state;
  open_pair(&p, LINK_NEWS);
  assert_int_equal(pipe(pipes), 0);
  p.at_a.keep_fd = 1;
  assert_int_equal(send_client(&p.b, pipes[1]), 0);
  run_for(20);
  assert_int_equal(p.at_a.n, 1);
  assert_int_equal(write(p.at_a.kept, "x", 1), 1);
  assert_int_equal(read(pipes[0], buf, 2), 1);
  close(p.at_a.kept);
  p.at_a.keep_fd = 0;
  for (int i = 0; i < 1000; i++)
    assert_int_equal(send_client(&p.b, pipes[1]), 0); /* queued ones are dup()s */
  run_for(50);
  assert_int_equal(p.at_a.n, 1001);
  close(pipes[0]);
  close(pipes[1]);
  assert_int_equal(open_fds(), before + 2);
  p.at_a.pause_after = 1002;
  for (int i = 0; i < 1000; i++)
    send_client(&p.b, 0);
  run_for(10);
  close_pair(&p); /* what is queued is closed with it */
  assert_int_equal(open_fds(), before);
}

/* raw packets, as a program that was taken over may send them, and what the reader says */
static void test_hostile_packets(void **state)
{
  static char big[WIRE_MAX + 100];
  static const struct {
    const char *s;
    size_t len;
    int fds;
    const char *why;
  } rows[] = {{"x", 1, 0, "does not begin with a message type"},
              {"1:0,", 4, 0, "message is not legal on this channel"},
              {big, sizeof big, 0, "packet too long or too many descriptors"},
              {"", 0, 3, "packet too long or too many descriptors"},   /* COMMIT 5 with three descriptors */
              {"", 0, 5, "packet too long or too many descriptors"},   /* more than there is room for */
              {"", 0, 1, "a descriptor is missing or not wanted"}};

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    static struct pair p;
    static stralloc packet;
    union {
      struct cmsghdr align;
      char space[CMSG_SPACE(8 * sizeof(int))];
    } control = {.space = {0}};
    struct iovec io = {(void *)(uintptr_t)rows[i].s, rows[i].len};
    struct msghdr h = {.msg_iov = &io, .msg_iovlen = 1};
    int before = open_fds();
    open_pair(&p, LINK_INJECT);
    if (rows[i].len == 0) {
      struct wire_out o;
      wire_start(&o, WIRE_COMMIT);
      wire_num(&o, 5);
      assert_int_equal(wire_encode(&o, &packet), 0);
      io.iov_base = packet.s;
      io.iov_len = packet.len;
    }
    if (rows[i].fds) {
      struct cmsghdr *c = &control.align;
      h.msg_control = control.space;
      h.msg_controllen = CMSG_SPACE((size_t)rows[i].fds * sizeof(int));
      c->cmsg_level = SOL_SOCKET;
      c->cmsg_type = SCM_RIGHTS;
      c->cmsg_len = CMSG_LEN((size_t)rows[i].fds * sizeof(int));
      memset(CMSG_DATA(c), 0, (size_t)rows[i].fds * sizeof(int)); /* descriptor 0 each time */
    }
    assert_true(sendmsg(p.a.fd, &h, 0) > 0);
    run_for(10);
    assert_int_equal(p.at_b.n, 0);
    assert_int_equal(p.at_b.closed, 1);
    assert_string_equal(p.at_b.why, rows[i].why);
    close_pair(&p);
    assert_int_equal(open_fds(), before);
  }
}

static void test_refused_by_handler(void **state)
{
  static struct pair p;

  (void)state;
  open_pair(&p, LINK_INJECT);
  p.at_b.refuse = 1;
  send_commit(&p.a, 1);
  send_commit(&p.a, 2);
  run_for(10);
  assert_int_equal(p.at_b.n, 1);
  assert_string_equal(p.at_b.why, "the reason");
  assert_int_equal(p.at_a.closed, 1); /* and the other end sees it */
  assert_null(p.at_a.why);
  assert_int_equal(send_commit(&p.b, 1), -1);
  assert_int_equal(errno, EPIPE);
  close_pair(&p);
}

static void test_closed_by_handler(void **state)
{
  static struct pair p;

  (void)state;
  open_pair(&p, LINK_INJECT);
  p.at_b.close_after = 2;
  for (uint64_t i = 0; i < 10; i++)
    send_commit(&p.a, i);
  run_for(10);
  assert_int_equal(p.at_b.n, 2);
  assert_int_equal(p.at_b.closed, 0); /* its own doing */
  assert_int_equal(p.at_a.closed, 1);
  close_pair(&p);
}

/* closed() may free the channel: nothing touches it afterwards (AddressSanitizer looks) */
/* one call that fails for a reason that is nobody's is made again; when it goes on failing the end has
 * a reason, so that run makes a new channel: both sides live, and neither would ever hear of it */
static void test_failing_calls(void **state)
{
  static struct pair p;

  (void)state;
  open_pair(&p, LINK_INJECT);
  fail_sendmsg = ENOMEM;
  failures = 1;
  send_commit(&p.a, 1);
  run_for(10);
  assert_int_equal(p.at_b.n, 1);
  failures = 2;
  send_commit(&p.a, 2);
  run_for(10);
  assert_int_equal(p.at_b.n, 1);
  assert_int_equal(p.at_a.closed, 1);
  assert_string_equal(p.at_a.why, strerror(ENOMEM));
  close_pair(&p);
  fail_sendmsg = 0;

  open_pair(&p, LINK_INJECT);
  fail_recvmsg = ENOMEM;
  failures = 1;
  send_commit(&p.a, 1);
  run_for(10);
  assert_string_equal(p.at_b.why, strerror(ENOMEM));
  assert_null(p.at_a.why);
  assert_int_equal(p.at_a.closed, 1);
  close_pair(&p);
  fail_recvmsg = 0;
  failures = 0;
}

static void test_freed_when_closed(void **state)
{
  static struct seen s;
  struct chan *c = calloc(1, sizeof *c);
  int fd[2];

  (void)state;
  s = (struct seen){.free_when_closed = 1};
  c->owner = &s;
  assert_int_equal(chan_pair(fd), 0);
  assert_int_equal(chan_open(c, fd[0], LINK_INJECT, WIRE_HIGH, &ops), 0);
  close(fd[1]);
  run_for(10);
  assert_int_equal(s.closed, 1);
}

static void test_never_opened(void **state)
{
  struct chan c = {.fd = -1}, zero = {.fd = 0};

  (void)state;
  assert_false(chan_is_open(&c));
  assert_false(chan_is_open(&zero)); /* a struct of zeroes is no channel */
  assert_int_equal(send_commit(&c, 1), -1);
  assert_int_equal(chan_open(&c, -1, LINK_INJECT, WIRE_LOW, &ops), -1);
  chan_close(&c);
}

static void test_blocking(void **state)
{
  struct wire_out o;
  struct wire_msg m;
  int fd[2];

  (void)state;
  assert_int_equal(chan_pair(fd), 0);
  assert_int_equal(chan_recv_blocking(fd[1], LINK_INJECT, WIRE_HIGH, 10, &m), -1);
  assert_int_equal(errno, ETIMEDOUT);
  wire_start(&o, WIRE_COMMIT);
  wire_num(&o, 77);
  assert_int_equal(chan_send_blocking(fd[0], &o, -1), 0);
  assert_int_equal(chan_recv_blocking(fd[1], LINK_INJECT, WIRE_HIGH, 1000, &m), 1);
  assert_int_equal(m.type, WIRE_COMMIT);
  assert_true(wire_is(&m, 0, "77"));
  assert_int_equal(send(fd[0], "junk", 4, 0), 4);
  assert_int_equal(chan_recv_blocking(fd[1], LINK_INJECT, WIRE_HIGH, 1000, &m), -1);
  assert_int_equal(errno, EPROTO);
  close(fd[0]);
  assert_int_equal(chan_recv_blocking(fd[1], LINK_INJECT, WIRE_HIGH, 1000, &m), 0);
  assert_int_equal(chan_send_blocking(fd[1], &o, -1), -1);
  close(fd[1]);
}

static void on_idle(struct loop_handler *h, int fd, int events)
{
  (void)h;
  (void)fd;
  (void)events;
}

/* libowfat's loop needs one descriptor at least */
static int set_up(void **state)
{
  static struct loop_handler idle = {on_idle};
  int fd[2];

  (void)state;
  return pipe(fd) == 0 ? loop_add(fd[0], &idle) : -1;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_order),        cmocka_unit_test(test_full_queue),
    cmocka_unit_test(test_pause),        cmocka_unit_test(test_descriptors),
    cmocka_unit_test(test_hostile_packets), cmocka_unit_test(test_refused_by_handler),
    cmocka_unit_test(test_closed_by_handler), cmocka_unit_test(test_failing_calls),
    cmocka_unit_test(test_freed_when_closed),
    cmocka_unit_test(test_never_opened), cmocka_unit_test(test_blocking),
  };
  return cmocka_run_group_tests_name("chan", tests, set_up, NULL);
}
