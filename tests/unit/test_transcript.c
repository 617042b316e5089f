/* test_transcript.c - where transcripts are kept: written, found, bounded, cleared */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/settings.h"
#include "queue/store.h"
#include "queue/transcript.h"

static char dir[64];
static int queue;
static size_t attempts, lines;
static unsigned int first, last;

static int set_up(void **state)
{
  (void)state;
  strcpy(dir, "/tmp/test_transcript.XXXXXX");
  if (!mkdtemp(dir))
    return -1;
  queue = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  settings.transcript_keep = 604800000;
  return transcript_make(queue);
}

static int tear_down(void **state)
{
  char command[100];

  (void)state;
  close(queue);
  snprintf(command, sizeof command, "rm -rf %s", dir);
  return system(command) == 0 ? 0 : -1;
}

static void make(stralloc *out, const char *id, unsigned int number, size_t bytes)
{
  const struct dialogue_attempt a = {id, 1769850000, number, "mx:a.example"};

  out->len = 0;
  assert_int_equal(dialogue_head(out, &a), 0);
  while (out->len < bytes)
    assert_true(stralloc_cats(out, "1 S 250 a line of some length to fill it up\n"));
}

static int on_attempt(void *arg, const struct dialogue_attempt *a)
{
  (void)arg;
  if (attempts++ == 0)
    first = a->number;
  last = a->number;
  return 0;
}

static int on_line(void *arg, const struct dialogue_line *l)
{
  (void)arg;
  (void)l;
  lines++;
  return 0;
}

static size_t find(const char *id)
{
  const struct dialogue_reader r = {on_attempt, on_line, NULL};
  int found;

  attempts = lines = 0;
  found = transcript_each(queue, id, &r);
  assert_int_equal(found, attempts ? 0 : -1);
  return attempts;
}

static void test_own(void **state)
{
  char id[STORE_ID_LEN + 1], other[STORE_ID_LEN + 1];
  stralloc s = {0};

  (void)state;
  store_fresh_id(id);
  store_fresh_id(other);
  assert_int_equal(find(id), 0);
  for (unsigned int n = 1; n <= 3; n++) {
    make(&s, id, n, 200);
    transcript_keep(queue, id, &s);
  }
  assert_int_equal(find(id), 3);
  assert_int_equal(find(other), 0);
  free(s.s);
}

/* the oldest attempts make room */
static void test_bound(void **state)
{
  char id[STORE_ID_LEN + 1], path[64];
  struct stat st;
  stralloc s = {0};

  (void)state;
  store_fresh_id(id);
  for (unsigned int n = 1; n <= 60; n++) {
    make(&s, id, n, 60000);
    transcript_keep(queue, id, &s);
  }
  assert_true(find(id) > 5);
  assert_true(first > 30);
  assert_int_equal(last, 60);
  assert_int_equal(last - first + 1, attempts); /* no gap */
  snprintf(path, sizeof path, "transcript/%s/%s", id + 13, id);
  assert_int_equal(fstatat(queue, path, &st, 0), 0);
  assert_true(st.st_size <= TRANSCRIPT_OWN_MAX);
  free(s.s);
}

static void test_shared(void **state)
{
  uint64_t now = (uint64_t)time(NULL);
  char id[50][STORE_ID_LEN + 1];
  stralloc s = {0};

  (void)state;
  for (size_t i = 0; i < 50; i++) {
    store_fresh_id(id[i]);
    make(&s, id[i], 1, 300);
    transcript_keep_last(queue, &s, now + i * 600); /* over eight hours */
    transcript_flush(queue, now + i * 600);
  }
  for (size_t i = 0; i < 50; i++)
    if (find(id[i]) != 1 || lines < 3)
      fail_msg("message %zu: %zu attempts, %zu lines", i, attempts, lines);
  assert_int_equal(find("0000000000000zz"), 0);
  assert_int_equal(find("../../../etc/passwd"), 0);
  free(s.s);
}

/* a peer's words never take the room that mail needs */
static void test_no_room(void **state)
{
  char id[2][STORE_ID_LEN + 1];
  stralloc s = {0};

  (void)state;
  settings.queue_min_free = 1ULL << 60;
  assert_false(transcript_has_room(queue));
  for (size_t i = 0; i < 2; i++)
    store_fresh_id(id[i]);
  make(&s, id[0], 1, 300);
  transcript_keep(queue, id[0], &s);
  make(&s, id[1], 1, 300);
  transcript_keep_last(queue, &s, (uint64_t)time(NULL));
  transcript_flush(queue, (uint64_t)time(NULL));
  settings.queue_min_free = 0;
  assert_true(transcript_has_room(queue));
  assert_int_equal(find(id[0]) + find(id[1]), 0);
  free(s.s);
}

/* half a record is written: the next message's words are not taken for its */
static void test_torn(void **state)
{
  uint64_t now = (uint64_t)time(NULL) + 100000; /* a file of its own */
  char id[3][STORE_ID_LEN + 1], path[64];
  struct rlimit before, little = {500, 0};
  stralloc s = {0};
  int fd;

  (void)state;
  for (size_t i = 0; i < 3; i++)
    store_fresh_id(id[i]);
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  little.rlim_max = before.rlim_max;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
  make(&s, id[0], 1, 1000);
  transcript_keep_last(queue, &s, now);
  transcript_flush(queue, now);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  make(&s, id[1], 1, 300);
  transcript_keep_last(queue, &s, now);
  transcript_flush(queue, now);
  assert_int_equal(find(id[1]), 1);
  assert_int_equal(find(id[0]), 0);
  make(&s, id[2], 1, 300);
  transcript_keep(queue, id[2], &s);
  snprintf(path, sizeof path, "transcript/%s/%s", id[2] + 13, id[2]);
  fd = openat(queue, path, O_WRONLY | O_APPEND);
  assert_int_equal(write(fd, "1 S 2", 5), 5); /* a kill */
  close(fd);
  make(&s, id[2], 2, 300);
  transcript_keep(queue, id[2], &s);
  assert_int_equal(find(id[2]), 2);
  free(s.s);
}

/* what is no file is not waited for, and nothing is written to it */
static void test_no_file(void **state)
{
  uint64_t now = (uint64_t)time(NULL) + 200000;
  char id[STORE_ID_LEN + 1], path[64];
  stralloc s = {0};

  (void)state;
  store_fresh_id(id);
  make(&s, id, 1, 300);
  snprintf(path, sizeof path, "transcript/all/%08llx", (unsigned long long)now);
  assert_int_equal(mkfifoat(queue, path, 0600), 0);
  transcript_keep_last(queue, &s, now);
  transcript_flush(queue, now);
  assert_int_equal(find(id), 0);
  transcript_keep_last(queue, &s, now + 1);
  transcript_flush(queue, now + 1);
  assert_int_equal(find(id), 1);
  snprintf(path, sizeof path, "transcript/%s/%s", id + 13, id);
  assert_int_equal(mkfifoat(queue, path, 0600), 0);
  transcript_keep(queue, id, &s);
  assert_int_equal(find(id), 1);
  free(s.s);
}

static char queued[STORE_ID_LEN + 1];

static int is_queued(const char *id)
{
  return strcmp(id, queued) == 0;
}

static void sweep(uint64_t before)
{
  for (int i = 0; i < TRANSCRIPT_DIRS; i++)
    transcript_sweep(queue, before, is_queued);
}

static void test_sweep(void **state)
{
  uint64_t now = (uint64_t)time(NULL);
  char id[2][STORE_ID_LEN + 1];
  stralloc s = {0};

  (void)state;
  for (size_t i = 0; i < 2; i++) {
    store_fresh_id(id[i]);
    make(&s, id[i], 1, 300);
    transcript_keep_last(queue, &s, now);
    transcript_flush(queue, now);
    transcript_keep(queue, id[i], &s);
  }
  strcpy(queued, id[1]);
  sweep(now - 10);
  assert_int_equal(find(id[0]), 2);
  sweep(now + 10);
  assert_int_equal(find(id[0]), 0);
  assert_int_equal(find(id[1]), 1);
  transcript_keep_last(queue, &s, now);
  transcript_flush(queue, now); /* its file was cleared: another one */
  assert_int_equal(find(id[1]), 2);
  queued[0] = 0;
  sweep(now + 10);
  assert_int_equal(find(id[1]), 0);
  free(s.s);
}

/* all together take no more than the bound: the oldest go, and those of queued messages stay */
static void test_size(void **state)
{
  uint64_t now = (uint64_t)time(NULL);
  char id[30][STORE_ID_LEN + 1], path[64];
  stralloc s = {0};

  (void)state;
  settings.transcript_size = 20 * 4096;
  sweep(0);
  for (size_t i = 0; i < 30; i++) {
    struct timespec t[2] = {{.tv_sec = (time_t)(now - 10000 * (30 - i))}};
    t[1] = t[0];
    store_fresh_id(id[i]);
    memcpy(id[i] + STORE_ID_LEN - 2, "00", 2);
    make(&s, id[i], 1, 300);
    transcript_keep(queue, id[i], &s);
    snprintf(path, sizeof path, "transcript/00/%.15s", id[i]);
    assert_int_equal(utimensat(queue, path, t, 0), 0);
  }
  strcpy(queued, id[0]);
  sweep(now - 604800);
  for (size_t i = 0; i < 30; i++)
    assert_int_equal(find(id[i]), i == 0 || i >= 10);
  sweep(now - 604800);
  assert_int_equal(find(id[10]), 1);
  queued[0] = 0;
  settings.transcript_size = 0;
  free(s.s);
}

/* without waiting for a sweep, as new shared files begin */
static void test_shared_size(void **state)
{
  uint64_t now = (uint64_t)time(NULL);
  char id[40][STORE_ID_LEN + 1];
  size_t found = 0;
  stralloc s = {0};

  (void)state;
  settings.transcript_size = 20 * 4096;
  sweep(0);
  for (size_t i = 0; i < 40; i++) {
    store_fresh_id(id[i]);
    make(&s, id[i], 1, 5000);
    transcript_keep_last(queue, &s, now + 10000 * i);
    transcript_flush(queue, now + 10000 * i);
  }
  for (size_t i = 0; i < 40; i++) {
    found += find(id[i]);
    assert_true(found == 0 || attempts == 1); /* none but the oldest is missing */
  }
  assert_in_range(found, 8, 20);
  settings.transcript_size = 0;
  free(s.s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
  const struct CMUnitTest tests[] = {TEST(test_own), TEST(test_bound), TEST(test_shared),
                                     TEST(test_sweep), TEST(test_no_room), TEST(test_torn),
                                     TEST(test_no_file), TEST(test_size), TEST(test_shared_size)};

  return cmocka_run_group_tests_name("transcript", tests, NULL, NULL);
}
