/* test_store_flight.c - messages in the journal behind the store's interface, as the manager uses it
 *
 * write and renameat2 are wrapped, to fail when told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/settings.h"
#include "queue/envelope.h"
#include "queue/history.h"
#include "queue/journal_ring.h"
#include "queue/store_flight.h"

static int write_error, rename_error;

ssize_t __real_write(int fd, const void *s, size_t len);
ssize_t __wrap_write(int fd, const void *s, size_t len);
int __real_renameat2(int a, const char *from, int b, const char *to, unsigned int flags);
int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned int flags);

ssize_t __wrap_write(int fd, const void *s, size_t len)
{
  errno = write_error;
  return write_error ? -1 : __real_write(fd, s, len);
}

int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned int flags)
{
  errno = rename_error;
  return rename_error ? -1 : __real_renameat2(a, from, b, to, flags);
}

static char dir[64];
static int queue = -1;

/* what the keeper heard */
static struct store_name filed, over;
static int filings, endings;

static void on_filed(const struct store_name *n)
{
  filed = *n;
  filings++;
}

static int on_over(const struct store_name *n)
{
  over = *n;
  endings++;
  return 0;
}

static int set_up(void **state)
{
  static const struct flight_keeper keeper = {on_filed, on_over};

  (void)state;
  write_error = rename_error = filings = endings = 0;
  settings.queue_journal = 1;
  settings.queue_journal_size = 1024 * 1024;
  settings.queue_min_free = 0;
  strcpy(dir, "/tmp/test_store_flight.XXXXXX");
  if (!mkdtemp(dir))
    return -1;
  queue = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  flight_keep(&keeper);
  return queue < 0 || store_make(queue) != 0 ? -1 : ring_open(queue);
}

static int tear_down(void **state)
{
  char command[100];

  (void)state;
  close(queue);
  snprintf(command, sizeof command, "rm -rf %s", dir);
  return system(command) == 0 ? 0 : -1;
}

#define BODY "Subject: x\r\n\r\nbody\r\n"

/* the image of a queue file with two recipients */
static void make_image(stralloc *out, const char *id)
{
  struct envelope_new n = {id, "alice@example.org", "", "", "192.0.2.1:4711", "client.example", "ESMTP", 1800000000, 0};
  struct envelope_sum sum = {0, strlen(BODY), 0, 0, 10};
  XXH3_state_t *x;

  assert_int_equal(envelope_begin(out, &n), 0);
  assert_int_equal(envelope_add_rcpt(out, "bob@example.net", "", ""), 0);
  assert_int_equal(envelope_add_rcpt(out, "carol@example.net", "", ""), 0);
  assert_int_equal(envelope_finish(out), 0);
  sum.env_len = out->len;
  envelope_head(out->s, &sum);
  x = XXH3_createState();
  XXH3_64bits_reset(x);
  XXH3_64bits_update(x, out->s + ENVELOPE_HEAD, out->len - ENVELOPE_HEAD);
  XXH3_64bits_update(x, BODY, strlen(BODY));
  XXH3_64bits_update(x, out->s, ENVELOPE_HEAD_SUMMED);
  sum.checksum = XXH3_64bits_digest(x);
  XXH3_freeState(x);
  envelope_head(out->s, &sum);
  assert_true(stralloc_cats(out, BODY) && stralloc_cats(out, ENVELOPE_END));
}

/* commits a message to the journal, as the intake tells the manager */
static struct store_name commit(void)
{
  static stralloc image;
  static char id[STORE_ID_LEN + 1];
  struct ring_message m = {.id = id};
  struct store_name n = {.state = STORE_FLIGHT};

  store_fresh_id(id);
  make_image(&image, id);
  m.piece[0] = (struct iovec){image.s, image.len};
  ring_write(&m, 1);
  assert_int_equal(m.error, 0);
  assert_int_equal(flight_committed(&m.place), 0);
  assert_int_equal(flight_committed(&m.place), 1);
  strcpy(n.id, id);
  return n;
}

static void check_envelope(const struct store_name *n, char first, char second)
{
  struct envelope e;
  const char *why;

  assert_int_equal(store_read(queue, n, 0, &e, &why), 0);
  assert_string_equal(e.id, n->id);
  assert_int_equal(e.nrcpt, 2);
  assert_int_equal(e.rcpt[0].status, first);
  assert_int_equal(e.rcpt[1].status, second);
  envelope_free(&e);
}

/* a copy that nobody can change, good for pread by several */
static void test_open(void **state)
{
  struct store_name n = commit(), found;
  struct envelope e;
  const char *why;
  int fd = store_open(queue, &n, O_RDONLY);

  (void)state;
  assert_true(fd >= 0);
  assert_int_equal(envelope_read(fd, &e, &why), 0);
  envelope_free(&e);
  assert_int_equal(pwrite(fd, "x", 1, 0), -1);
  assert_int_equal(errno, EPERM);
  assert_int_equal(ftruncate(fd, 0), -1);
  assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  close(fd);
  assert_int_equal(store_open(queue, &n, O_RDWR), -1);
  assert_int_equal(errno, EROFS);
  check_envelope(&n, 'T', 'T');
  assert_int_equal(store_find(queue, n.id, &found), 0);
  assert_int_equal(found.state, STORE_FLIGHT);
  strcpy(n.id, "0abcdefghjkmn17");
  assert_int_equal(store_open(queue, &n, O_RDONLY), -1);
  assert_int_equal(errno, ENOENT);
  assert_int_equal(store_remove(queue, &n), -1);
}

static int count_line(void *arg, const struct history_line *l)
{
  ++*(int *)arg;
  assert_int_equal(l->kind, 's');
  return 0;
}

/* filed: marks and history stand in the file, and what had become of it before is told once */
static void test_file(void **state)
{
  const char *const field[] = {"mx.example", "192.0.2.1", "R0", "refused at connect", ""};
  struct store_name n = commit(), was = n;
  struct envelope e;
  stralloc lines = {0};
  const char *why;
  int fd, count = 0;

  (void)state;
  assert_int_equal(store_read(queue, &n, 0, &e, &why), 0);
  e.rcpt[0].status = RCPT_DONE;
  e.rcpt[1].attempts = 1;
  e.rcpt[1].next = 0x12345678;
  assert_int_equal(history_line_make(&lines, 's', 1, 1, field, 5), 0);
  assert_int_equal(store_file(queue, &n, &(struct store_filing){STORE_CUR, 0x12345678, 7, &e, &lines}), 0);
  envelope_free(&e);
  assert_int_equal(n.state, STORE_CUR);
  assert_int_equal(filings, 1);
  assert_memory_equal(&filed, &n, sizeof n);
  check_envelope(&n, 'D', 'T');
  fd = store_open(queue, &n, O_RDWR);
  assert_true(fd >= 0);
  assert_int_equal(envelope_read(fd, &e, &why), 0);
  assert_int_equal(envelope_verify(fd, &e, &why), 0);
  assert_int_equal(e.rcpt[1].next, 0x12345678);
  assert_int_equal(history_each(fd, &e, count_line, &count), 0);
  assert_int_equal(count, 1);
  envelope_free(&e);
  close(fd);
  assert_true(flight_is_filed(n.id));
  assert_false(flight_is_filed(n.id)); /* told once */
  flight_settled(n.id, JOURNAL_DONE); /* another note of its */
  assert_true(flight_is_known(queue, n.id));
  flight_settled(n.id, JOURNAL_FILED);
  assert_false(flight_is_known(queue, n.id));
  assert_int_equal(store_remove(queue, &n), 0); /* now it is a file like any other */
  assert_int_equal(endings, 0);
  assert_int_equal(store_file(queue, &was, &(struct store_filing){STORE_NEW, 0, 0, NULL, NULL}), -1);
  assert_int_equal(errno, ENOENT);
  free(lines.s);
}

static int files_in(const char *path)
{
  char command[200];
  FILE *f;
  int n = -1;

  snprintf(command, sizeof command, "find %s/%s -type f | wc -l", dir, path);
  f = popen(command, "r");
  assert_int_equal(fscanf(f, "%d", &n), 1);
  pclose(f);
  return n;
}

/* what fails on the way leaves nothing, and the message where it was */
static void test_filing_fails(void **state)
{
  struct store_name n = commit();

  (void)state;
  for (int which = 0; which < 2; which++) {
    *(which ? &rename_error : &write_error) = ENOSPC;
    assert_int_equal(store_move(queue, &n, STORE_HOLD, UINT32_MAX, 0), -1);
    assert_int_equal(errno, ENOSPC);
    write_error = rename_error = 0;
    assert_int_equal(n.state, STORE_FLIGHT);
    assert_int_equal(files_in("tmp") + files_in("hold"), 0);
    check_envelope(&n, 'T', 'T');
  }
  close(store_create(queue, n.id)); /* an earlier run was killed here */
  assert_int_equal(store_move(queue, &n, STORE_HOLD, UINT32_MAX, 0), 0);
  assert_int_equal(n.state, STORE_HOLD);
  assert_int_equal(filings, 1);
  check_envelope(&n, 'T', 'T');
}

/* done with in its first attempt: never a file */
static void test_over(void **state)
{
  struct store_name n = commit(), found;

  (void)state;
  assert_int_equal(store_remove(queue, &n), 0);
  assert_int_equal(endings, 1);
  assert_memory_equal(&over, &n, sizeof n);
  assert_int_equal(store_find(queue, n.id, &found), -1);
  assert_true(flight_is_known(queue, n.id)); /* the journal may still hold it */
  flight_settled(n.id, JOURNAL_DONE);
  assert_false(flight_is_known(queue, n.id));
}

/* done with while the journal may still hold it: the file stays, and says that all is done */
static void test_over_as_file(void **state)
{
  struct store_name n = commit();

  (void)state;
  assert_int_equal(store_move(queue, &n, STORE_CUR, 1, 2), 0);
  assert_false(flight_is_over(n.id));
  assert_int_equal(store_remove(queue, &n), 0);
  assert_int_equal(endings, 1);
  assert_int_equal(over.state, STORE_CUR);
  assert_true(flight_is_over(n.id)); /* a scan passes its file over */
  check_envelope(&n, 'D', 'D');
  assert_false(flight_is_filed(n.id)); /* too late for that note */
}

static struct store_name seen[10];
static int sightings, answer;

static int on_found(const struct store_name *n)
{
  seen[sightings++] = *n;
  return answer;
}

static int dones;

static void on_done(const char *id)
{
  (void)id;
  dones++;
}

/* a replay tells of what is new only; what it is told to forget, it tells again */
static void test_replay(void **state)
{
  struct ring_message m = {.id = "0abcdefghjkmn17"};
  static stralloc image;
  struct store_name known = commit(), done = commit();

  (void)state;
  assert_int_equal(store_remove(queue, &done), 0);
  make_image(&image, m.id);
  m.piece[0] = (struct iovec){image.s, image.len};
  ring_write(&m, 1);
  for (answer = 0; answer < 2; answer++) {
    sightings = 0;
    assert_int_equal(flight_replay(queue, on_found, on_done), 0);
    assert_int_equal(sightings, 1);
    assert_string_equal(seen[0].id, m.id);
    assert_int_equal(seen[0].state, STORE_FLIGHT);
  }
  sightings = 0;
  assert_int_equal(dones, 0); /* it is not written yet */
  ring_note(JOURNAL_DONE, done.id, 1);
  ring_turn();
  assert_int_equal(flight_replay(queue, on_found, on_done), 0);
  assert_int_equal(sightings, 0);
  assert_int_equal(dones, 1);
  check_envelope(&known, 'T', 'T');
}

/* in both forms: a whole file counts, a torn one is cleared away */
static void test_twin(void **state)
{
  struct store_name n = commit(), file = n;
  char path[100];
  int fd;

  (void)state;
  assert_int_equal(store_move(queue, &file, STORE_NEW, 0, 0), 0);
  snprintf(path, sizeof path, "%s/new/%s/%s", dir, n.id + 13, n.id);
  assert_int_equal(flight_twin(queue, &file), 1);
  assert_int_equal(filings, 2); /* it is to be flushed, and told of */
  fd = open(path, O_WRONLY);
  assert_int_equal(pwrite(fd, "damage", 6, 200), 6);
  close(fd);
  assert_int_equal(flight_twin(queue, &file), 0);
  assert_int_equal(access(path, F_OK), -1);
  close(open(path, O_CREAT | O_WRONLY, 0600)); /* empty, as a power cut leaves it */
  assert_int_equal(flight_twin(queue, &file), 0);
  assert_int_equal(access(path, F_OK), -1);
}

/* a record that the disk changed: what is left of it is kept for a person, and it is over */
static void test_corrupt(void **state)
{
  struct store_name n = commit();
  struct envelope e;
  const char *why = NULL;
  struct stat st;
  char path[100];
  int fd = openat(queue, "journal/0", O_WRONLY);

  (void)state;
  assert_int_equal(pwrite(fd, "damage", 6, JOURNAL_HEAD + 100), 6);
  close(fd);
  assert_int_equal(store_read(queue, &n, 0, &e, &why), -1);
  assert_int_equal(errno, EBADMSG);
  assert_int_equal(store_open(queue, &n, O_RDONLY), -1);
  assert_int_equal(store_corrupt(queue, &n, why), 0);
  assert_int_equal(endings, 1);
  snprintf(path, sizeof path, "%s/corrupt/%s", dir, n.id);
  assert_int_equal(stat(path, &st), 0);
  assert_true(st.st_size > (off_t)strlen(BODY));
}

/* a full disk: nothing is over, and when there is room again it is put aside */
static void test_corrupt_on_a_full_disk(void **state)
{
  struct store_name n = commit();
  int fd = openat(queue, "journal/0", O_WRONLY);

  (void)state;
  assert_int_equal(pwrite(fd, "damage", 6, JOURNAL_HEAD + 100), 6);
  close(fd);
  write_error = ENOSPC;
  assert_int_equal(store_corrupt(queue, &n, "damaged"), -1);
  assert_int_equal(errno, ENOSPC);
  assert_int_equal(endings, 0);
  assert_int_equal(files_in("corrupt"), 0);
  write_error = 0;
  assert_int_equal(store_corrupt(queue, &n, "damaged"), 0);
  assert_int_equal(endings, 1);
  assert_int_equal(files_in("corrupt"), 1);
}

static void test_rewrite(void **state)
{
  struct store_name n = commit();
  struct stat before, after;
  char path[100];

  (void)state;
  assert_int_equal(store_move(queue, &n, STORE_NEW, 0, 0), 0);
  snprintf(path, sizeof path, "%s/new/%s/%s", dir, n.id + 13, n.id);
  assert_int_equal(stat(path, &before), 0);
  assert_int_equal(store_rewrite(queue, &n), 0);
  assert_int_equal(stat(path, &after), 0);
  assert_true(before.st_ino != after.st_ino);
  assert_int_equal(before.st_size, after.st_size);
  check_envelope(&n, 'T', 'T');
  assert_int_equal(files_in("tmp"), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
  const struct CMUnitTest tests[] = {
    TEST(test_open),         TEST(test_file),   TEST(test_filing_fails), TEST(test_over),
    TEST(test_over_as_file), TEST(test_replay), TEST(test_twin),         TEST(test_corrupt),
    TEST(test_corrupt_on_a_full_disk), TEST(test_rewrite),
  };
  return cmocka_run_group_tests_name("store_flight", tests, NULL, NULL);
}
