/* test_receive.c - new messages: durable or refused, and nothing half-queued; all of it twice,
 * as files and through the journal
 *
 * writev, pwritev, fdatasync and fsync are wrapped, to fail when told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/loop.h"
#include "common/settings.h"
#include "queue/journal_read.h"
#include "queue/journal_ring.h"
#include "queue/receive.h"

/* errno that every call gives; 0: it works. fail_after: calls that still work */
static volatile int writev_error, fdatasync_error, fsync_error, fail_after;

ssize_t __real_writev(int fd, const struct iovec *v, int n);
ssize_t __wrap_writev(int fd, const struct iovec *v, int n);
ssize_t __real_pwritev(int fd, const struct iovec *v, int n, off_t at);
ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t at);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

static int fails(int error)
{
  if (!error || fail_after-- > 0)
    return 0;
  errno = error;
  return 1;
}

/* writes that succeed are short ones, as they may be */
static struct iovec shorter(const struct iovec *v, int n)
{
  struct iovec part;

  while (n-- > 1 && v->iov_len == 0)
    v++;
  part = v[0];
  if (part.iov_len > 1)
    part.iov_len -= part.iov_len / 3;
  return part;
}

ssize_t __wrap_writev(int fd, const struct iovec *v, int n)
{
  struct iovec part = shorter(v, n);

  return fails(writev_error) ? -1 : __real_writev(fd, &part, 1);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t at)
{
  struct iovec part = shorter(v, n);

  return fails(writev_error) ? -1 : __real_pwritev(fd, &part, 1, at);
}

int __wrap_fdatasync(int fd)
{
  return fails(fdatasync_error) ? -1 : __real_fdatasync(fd);
}

int __wrap_fsync(int fd)
{
  return fails(fsync_error) ? -1 : __real_fsync(fd);
}

static char dir[64];
static int queue;
static int through_journal; /* which round this is */

/* the end of one message, as its owner hears of it */
struct owner {
  int durable, refused;
  enum verdict verdict;
  char reply[200], id[32];
};

static size_t ends, wanted;

static void one_more(void)
{
  if (++ends >= wanted)
    loop_end();
}

static size_t announced;

static void on_durable(void *arg, struct incoming *in)
{
  struct owner *o = arg;

  if (o) {
    o->durable++;
    strcpy(o->id, receive_id(in));
  }
  assert_true(announced-- > 0); /* before anybody is answered */
  one_more();
}

static void on_refused(void *arg, struct incoming *in, enum verdict v, const char *reply)
{
  struct owner *o = arg;

  (void)in;
  o->refused++;
  o->verdict = v;
  snprintf(o->reply, sizeof o->reply, "%s", reply);
  one_more();
}

static void on_committed(const struct incoming *in)
{
  assert_non_null(receive_id(in));
  announced++;
}

static const struct receive_ops ops = {on_committed, on_durable, on_refused, RECEIVE_REFUSES};

static void give_up(struct loop_timer *t)
{
  (void)t;
  loop_end();
}

/* runs until n messages have ended, 5 s at most */
static void wait_for(size_t n)
{
  struct loop_timer t = {.fire = give_up};

  wanted = n;
  if (ends < n) {
    loop_timer_in(&t, 0);
    loop_run();
    loop_timer_in(&t, 60000); /* a busy disk */
    loop_run();
  }
  loop_timer_stop(&t);
  assert_int_equal(ends, n);
  ends = 0;
}

static int set_up_all(void **state)
{
  (void)state;
  strcpy(dir, "/tmp/test_receive.XXXXXX");
  if (!mkdtemp(dir))
    return -1;
  queue = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (queue < 0 || store_make(queue) != 0)
    return -1;
  return receive_start(queue);
}

static int tear_down_all(void **state)
{
  char command[100];

  (void)state;
  snprintf(command, sizeof command, "rm -rf %s", dir);
  return system(command) == 0 ? 0 : -1;
}

static int set_up(void **state)
{
  (void)state;
  settings.queue_min_free = 0;
  settings.queue_journal = (uint64_t)through_journal;
  settings.queue_journal_size = 16 * 1024 * 1024;
  settings.message_size_limit = 1000000;
  settings.header_size_limit = 1000;
  settings.received_limit = 5;
  settings.line_length_limit = 100000;
  writev_error = fdatasync_error = fsync_error = fail_after = 0;
  ends = 0;
  return 0;
}

static int count_in(const char *path)
{
  int fd = openat(queue, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
  DIR *d = fdopendir(fd);
  struct dirent *e;

  assert_non_null(d);
  while ((e = readdir(d))) {
    char sub[600];
    if (e->d_name[0] == '.')
      continue;
    snprintf(sub, sizeof sub, "%s/%s", path, e->d_name);
    n += e->d_type == DT_DIR ? count_in(sub) : 1;
  }
  closedir(d);
  return n;
}

static const struct envelope_new usual = {.sender = "alice@example.org", .envid = "", .ret = "", .client = "192.0.2.1:4711",
                                          .helo = "client.example", .protocol = "ESMTP"};

static struct incoming *begin(struct owner *o)
{
  struct envelope_new n = usual;
  const char *reply = NULL;
  struct incoming *in;

  memset(o, 0, sizeof *o);
  in = receive_begin(&n, 1, &ops, o, &reply);
  assert_non_null(in);
  assert_int_equal(receive_rcpt(in, "bob@example.net", "", ""), 0);
  assert_int_equal(receive_missing_rcpts(in), 0);
  return in;
}

static void give(struct owner *o, const char *s, size_t len)
{
  struct incoming *in = begin(o);

  if (receive_data(in, s, len) == 0)
    receive_commit(in);
}

/* a copy of what the journal holds of a message, which is ended there; -1 when it does not */
static int open_from_journal(const char *id)
{
  struct journal_replay r = {.lost = NULL};
  const struct flight *f;
  const char *image;
  int fd = -1;

  assert_int_equal(journal_replay(queue, &r), 0);
  f = flights_find(&r.live, id);
  if (f) {
    assert_int_equal(journal_load(queue, f, &image), 0);
    fd = memfd_create("message", MFD_CLOEXEC);
    assert_int_equal(write(fd, image, f->len), f->len);
    ring_note(JOURNAL_DONE, id, 0);
  }
  flights_free(&r.live);
  return fd;
}

static int open_message(const char *id)
{
  struct store_name n = {.state = STORE_NEW};
  int fd = through_journal ? open_from_journal(id) : -1;

  if (fd >= 0)
    return fd;
  strcpy(n.id, id);
  fd = store_open(queue, &n, O_RDONLY);
  assert_true(fd >= 0);
  assert_int_equal(store_unlink(queue, &n), 0);
  return fd;
}

/* reads and verifies a committed message, and removes it */
static void check_file(const char *id, const char *body, size_t len)
{
  struct envelope e;
  const char *why;
  char *got = malloc(len + 1);
  int fd = open_message(id);

  assert_int_equal(envelope_read(fd, &e, &why), 0);
  assert_int_equal(envelope_verify(fd, &e, &why), 0);
  assert_string_equal(e.id, id);
  assert_string_equal(e.rcpt[0].address, "bob@example.net");
  assert_int_equal(e.body_len, len);
  assert_int_equal(pread(fd, got, len, e.body_at), len);
  assert_memory_equal(got, body, len);
  free(got);
  envelope_free(&e);
  close(fd);
}

static void assert_nothing_left(void)
{
  assert_int_equal(count_in("tmp"), 0);
  assert_int_equal(count_in("new"), 0);
}

#define SMALL "Subject: x\r\n\r\nbody\r\n"

static char *large(size_t len)
{
  char *s = malloc(len);

  memset(s, 'x', len);
  memcpy(s, "\r\n", 2);
  for (size_t i = 100; i < len - 100; i += 100)
    memcpy(s + i, "\r\n", 2);
  memcpy(s + len - 2, "\r\n", 2);
  return s;
}

static void test_durable(void **state)
{
  struct owner o;
  char *big = large(500000);

  (void)state;
  give(&o, SMALL, strlen(SMALL));
  wait_for(1);
  assert_int_equal(o.durable, 1);
  check_file(o.id, SMALL, strlen(SMALL));
  give(&o, big, 500000); /* by way of tmp */
  wait_for(1);
  check_file(o.id, big, 500000);
  assert_nothing_left();
  free(big);
}

/* in pieces around the size beyond which a message goes to disk */
static void test_pieces(void **state)
{
  struct owner o;
  char *big = large(300000);

  (void)state;
  for (size_t step = 1000; step < 300000; step = step * 5 / 2) {
    struct incoming *in = begin(&o);
    for (size_t at = 0; at < 300000; at += step)
      assert_int_equal(receive_data(in, big + at, 300000 - at < step ? 300000 - at : step), 0);
    receive_commit(in);
    wait_for(1);
    assert_int_equal(o.durable, 1);
    check_file(o.id, big, 300000);
  }
  free(big);
}

static void test_many_at_once(void **state)
{
  enum { MANY = 1500 };
  static struct owner o[MANY];

  (void)state;
  for (int i = 0; i < MANY; i++)
    give(&o[i], SMALL, strlen(SMALL));
  wait_for(MANY);
  for (int i = 0; i < MANY; i++) {
    assert_int_equal(o[i].durable, 1);
    check_file(o[i].id, SMALL, strlen(SMALL));
  }
  assert_nothing_left();
}

static void test_abort(void **state)
{
  struct owner o;
  struct incoming *in = begin(&o);
  char *big = large(200000);

  (void)state;
  receive_abort(in);
  in = begin(&o);
  assert_int_equal(receive_data(in, big, 200000), 0);
  assert_int_equal(count_in("tmp"), 1);
  receive_abort(in);
  assert_nothing_left();
  assert_int_equal(o.durable + o.refused, 0);
  free(big);
}

/* the owner is gone: the message is queued all the same */
static void test_disown(void **state)
{
  struct owner o;
  struct incoming *in = begin(&o);
  char id[STORE_ID_LEN + 1];

  (void)state;
  strcpy(id, receive_id(in));
  assert_int_equal(receive_data(in, SMALL, strlen(SMALL)), 0);
  receive_commit(in);
  receive_disown(in);
  wait_for(1);
  assert_int_equal(o.durable, 0);
  check_file(id, SMALL, strlen(SMALL));
}

/* what a disk that is full or broken does at each step: refused, nothing left, and taken again later */
static void test_disk_fails(void **state)
{
  static const struct {
    volatile int *what;
    int error;
    const char *reply;
  } rows[] = {{&writev_error, ENOSPC, "452 4.3.1 "}, {&writev_error, EDQUOT, "452 4.3.1 "}, {&writev_error, EIO, "452 4.3.1 "},
              {&writev_error, ENOMEM, "452 4.3.2 "}, {&fdatasync_error, EIO, "452 4.3.1 "},
              {&fdatasync_error, ENOSPC, "452 4.3.1 "}, {&fsync_error, EIO, "452 4.3.1 "}, {&fsync_error, EROFS, "452 4.3.1 "}};
  static const size_t sizes[] = {40, 120000, 140000, 400000};

  (void)state;
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
      for (int after = 0; after < (rows[r].what == &writev_error ? 3 : 1); after++) {
        char *body = large(sizes[s] < 300 ? 300 : sizes[s]);
        struct owner o;
        fail_after = after;
        *rows[r].what = rows[r].error;
        give(&o, body, sizes[s] < 300 ? 300 : sizes[s]);
        wait_for(1);
        *rows[r].what = 0;
        if (through_journal && sizes[s] < 130000 && rows[r].what == &fsync_error) {
          assert_int_equal(o.durable, 1); /* no directory is flushed for it */
          check_file(o.id, body, sizes[s] < 300 ? 300 : sizes[s]);
          free(body);
          continue;
        }
        if (o.refused != 1 || o.verdict != V_TEMP || strncmp(o.reply, rows[r].reply, 10) != 0)
          fail_msg("row %zu size %zu after %d: %s", r, sizes[s], after, o.reply);
        assert_nothing_left();
        give(&o, SMALL, strlen(SMALL));
        wait_for(1);
        assert_int_equal(o.durable, 1);
        check_file(o.id, SMALL, strlen(SMALL));
        free(body);
      }
}

static void test_content(void **state)
{
#define FIVE "Received: a\r\nReceived: b\r\nReceived: c\r\nReceived: d\r\nReceived: e\r\n"
  static const struct {
    const char *s;
    size_t len;
    const char *reply; /* NULL: taken */
  } rows[] = {
#define ROW(s, reply) {s, sizeof(s) - 1, reply}
    ROW(SMALL, NULL),
    ROW("", NULL),
    ROW("\r\n", NULL),
    ROW("a\r\n\r\nb\nc\r\n", "550 5.6.0 "),
    ROW("a\r\n\r\nb\rc\r\n", "550 5.6.0 "),
    ROW("a\r\n\r\nb\0c\r\n", "550 5.6.0 "),
    ROW("a\r\n\r\nno end", "451 4.3.5 "),
    ROW("a\r\n\r\nb\r", "550 5.6.0 "),
    ROW("A: " FIVE, NULL),
    ROW(FIVE "\r\n", "554 5.4.6 "),
    ROW("\r\n" FIVE, NULL),
#undef ROW
  };
  struct owner o;
  char *big = large(2000001);

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    give(&o, rows[i].s, rows[i].len);
    wait_for(1);
    if ((rows[i].reply == NULL) != (o.durable == 1) || (rows[i].reply && strncmp(o.reply, rows[i].reply, 10) != 0))
      fail_msg("row %zu: %s", i, o.reply);
    if (o.durable)
      check_file(o.id, rows[i].s, rows[i].len);
    else
      assert_int_equal(o.verdict, o.reply[0] == '5' ? V_PERM : V_TEMP);
  }
  give(&o, big, 2000000);
  wait_for(1);
  assert_memory_equal(o.reply, "552 5.3.4 ", 10);
  memset(big, 'h', 1002); /* a header of more than 1000 bytes */
  give(&o, big, 1002);
  wait_for(1);
  assert_int_equal(o.refused, 1);
  assert_nothing_left();
  free(big);
}

/* what a client that was taken over may say */
static void test_hostile_envelopes(void **state)
{
  static const char *const senders[] = {"a@b\nr T", "a b@c", "<a@b>", "A@B", "@", "a@b\x01"};
  static const char *const rcpts[] = {"", "bob@example.net\nx", "<bob@example.net>", "b@EXAMPLE.net", "b@c d"};
  static const char *const notifies[] = {"never", "SUCCESS,,X", "FAILURE\n", "SUCCESS DELAY",
                                         "SUCCESS,FAILURE,DELAY,SUCCESS,FAILURE,DELAY,SUCCESS,FAILURE,DELAY"};
  struct owner o = {0};
  const char *reply = NULL;
  struct incoming *in;

  (void)state;
  for (size_t i = 0; i < sizeof senders / sizeof *senders; i++) {
    struct envelope_new n = usual;
    n.sender = senders[i];
    if (receive_begin(&n, 1, &ops, &o, &reply))
      fail_msg("sender %s", senders[i]);
    assert_memory_equal(reply, "451 4.3.5 ", 10);
  }
  for (int i = 0; i < 6; i++) {
    struct envelope_new n = usual;
    *(i == 0 ? &n.envid : i == 1 ? &n.ret : i == 2 ? &n.client : i == 3 ? &n.helo : i == 4 ? &n.protocol : &n.envid) =
      i == 5 ? "two words" : "x\ny";
    assert_null(receive_begin(&n, 1, &ops, &o, &reply));
  }
  in = receive_begin(&(struct envelope_new){usual.id, "", "", "", "", "", "", 0, 0}, 2, &ops, &o, &reply);
  assert_non_null(in);
  for (size_t i = 0; i < sizeof rcpts / sizeof *rcpts; i++)
    assert_int_equal(receive_rcpt(in, rcpts[i], "", ""), -1);
  for (size_t i = 0; i < sizeof notifies / sizeof *notifies; i++)
    assert_int_equal(receive_rcpt(in, "b@c.example", notifies[i], ""), -1);
  assert_int_equal(receive_rcpt(in, "b@c.example", "", "rfc822; b"), -1);
  assert_int_equal(receive_rcpt(in, "b@c.example", "SUCCESS,FAILURE", "rfc822;b@c"), 0);
  assert_int_equal(receive_missing_rcpts(in), 1);
  assert_int_equal(receive_rcpt(in, "c@c.example", "NEVER", ""), 0);
  assert_int_equal(receive_rcpt(in, "d@c.example", "", ""), -1); /* more than were announced */
  receive_abort(in);
  assert_null(receive_begin(&(struct envelope_new){usual.id, "", "", "", "", "", "", 0, 0}, 0, &ops, &o, &reply));
}

/* committed before all recipients were named */
static void test_missing_recipients(void **state)
{
  struct envelope_new n = usual;
  const char *reply;
  struct owner o = {0};
  struct incoming *in = receive_begin(&n, 2, &ops, &o, &reply);

  (void)state;
  assert_non_null(in);
  receive_commit(in);
  wait_for(1);
  assert_int_equal(o.refused, 1);
  assert_nothing_left();
}

#define TEST(f) cmocka_unit_test_setup(f, set_up)

/* the last free segment is not for messages: what the journal has no room for becomes files */
static void test_full_journal(void **state)
{
  static struct owner o[400];
  static char body[60000];
  size_t as_files = 0;

  (void)state;
  settings.queue_journal_size = 2 * 1024 * 1024;
  memset(body, 'x', sizeof body);
  memcpy(body, "A: b\r\n\r\n", 8);
  memcpy(body + sizeof body - 2, "\r\n", 2);
  for (int i = 0; i < 400; i++) {
    give(&o[i], body, sizeof body);
    if (i % 20 == 19)
      wait_for(20);
  }
  as_files = (size_t)count_in("new");
  assert_in_range(as_files, 300, 390); /* the first segment is still a large one */
  for (int i = 0; i < 400; i++) {
    assert_int_equal(o[i].durable, 1);
    check_file(o[i].id, body, sizeof body);
  }
  give(&o[0], SMALL, strlen(SMALL)); /* and now there is room again */
  wait_for(1);
  assert_nothing_left();
  check_file(o[0].id, SMALL, strlen(SMALL));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    TEST(test_durable), TEST(test_pieces),  TEST(test_many_at_once),     TEST(test_abort),
    TEST(test_disown),  TEST(test_disk_fails), TEST(test_content),       TEST(test_hostile_envelopes),
    TEST(test_missing_recipients),
  };
  const struct CMUnitTest more[] = {TEST(test_full_journal)};
  int failed = cmocka_run_group_tests_name("receive", tests, set_up_all, NULL);

  through_journal = 1;
  failed += cmocka_run_group_tests_name("receive through the journal", tests, NULL, NULL);
  return failed + cmocka_run_group_tests_name("receive, a full journal", more, NULL, tear_down_all);
}
