/* test_journal_ring.c - the ring of segments: what was made durable is there after any kill, what
 * was ended does not come back, and what fails is never believed
 *
 * pwritev, pwrite and fdatasync are wrapped, to fail when told. A new ring_open() is a new run:
 * what the last one had not written is gone, as after a kill. */
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
#include <sys/uio.h>
#include <unistd.h>

#include "common/settings.h"
#include "queue/journal_read.h"
#include "queue/journal_ring.h"
#include "queue/store.h"

#define SEGMENT JOURNAL_SEGMENT_MIN
#define GROUP 8
#define MANY 5000

/* errno that every call gives; 0: it works */
static int pwritev_error, pwrite_error, fdatasync_error;

ssize_t __real_pwritev(int fd, const struct iovec *v, int n, off_t at);
ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t at);
ssize_t __real_pwrite(int fd, const void *s, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *s, size_t len, off_t at);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

int __real_unlinkat(int fd, const char *path, int flags);
int __wrap_unlinkat(int fd, const char *path, int flags);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

static char took_away[64]; /* segments, and "." for each flush of a directory */
static char not_taken_away; /* a segment that stays */

static int fails(int error)
{
  errno = error;
  return error != 0;
}

ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t at)
{
  return fails(pwritev_error) ? -1 : __real_pwritev(fd, v, n, at);
}

ssize_t __wrap_pwrite(int fd, const void *s, size_t len, off_t at)
{
  return fails(pwrite_error) ? -1 : __real_pwrite(fd, s, len, at);
}

int __wrap_fdatasync(int fd)
{
  return fails(fdatasync_error) ? -1 : __real_fdatasync(fd);
}

static void note_away(char c)
{
  size_t n = strlen(took_away);

  if (n + 1 < sizeof took_away) {
    took_away[n] = c;
    took_away[n + 1] = 0;
  }
}

int __wrap_unlinkat(int fd, const char *path, int flags)
{
  char segment = path[strlen(path) - 1];

  if (segment == not_taken_away && fails(EIO))
    return -1;
  if (__real_unlinkat(fd, path, flags) != 0)
    return -1;
  note_away(segment);
  return 0;
}

int __wrap_fsync(int fd)
{
  struct stat st;

  if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
    note_away('.');
  return __real_fsync(fd);
}

static char dir[64];
static int queue = -1;

/* what must be in the journal */
static struct {
  char id[STORE_ID_LEN + 1];
  size_t len;
  enum { NOT_THERE, LIVE, ENDED } state;
  uint64_t seq; /* of its note */
} message[MANY];
static size_t messages;
static uint64_t seq, settled; /* notes said; notes that are durable */

static int set_up(void **state)
{
  (void)state;
  pwritev_error = pwrite_error = fdatasync_error = 0;
  not_taken_away = 0;
  settings.queue_journal = 1;
  settings.queue_journal_size = JOURNAL_SEGMENTS * SEGMENT;
  settings.queue_min_free = 0;
  messages = 0;
  seq = settled = 0;
  strcpy(dir, "/tmp/test_journal_ring.XXXXXX");
  if (!mkdtemp(dir))
    return -1;
  queue = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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

static char body_of(size_t i)
{
  return (char)('a' + i % 26);
}

/* writes a group; the error of the first */
static int write_group(size_t n, size_t len)
{
  static char bytes[GROUP][SEGMENT];
  struct ring_message m[GROUP];
  size_t first = messages;

  for (size_t i = 0; i < n; i++) {
    memset(bytes[i], body_of(messages), len);
    store_fresh_id(message[messages].id);
    message[messages].len = len;
    message[messages].state = NOT_THERE;
    m[i] = (struct ring_message){.id = message[messages++].id,
                                 .piece = {{bytes[i], len / 3}, {bytes[i], 0}, {bytes[i] + len / 3, len - len / 3}}};
  }
  ring_write(m, n);
  for (size_t i = 0; i < n; i++)
    if (m[i].error == 0)
      message[first + i].state = LIVE;
  return m[0].error;
}

static void end(size_t i)
{
  ring_note(i % 2 ? JOURNAL_DONE : JOURNAL_FILED, message[i].id, ++seq);
  message[i].state = ENDED;
  message[i].seq = seq;
}

/* turns of the loop, with what the other thread does on their word */
static void turn(int flushes)
{
  for (int i = 0; i < 3; i++) {
    unsigned int need = ring_turn();
    if (need & RING_TEND)
      ring_tend();
    if ((need & RING_FLUSH) && flushes)
      ring_flush();
  }
}

static uint64_t take_settled(void)
{
  uint64_t now = ring_settled();

  settled = now ? now : settled;
  return now;
}

/* a kill and another run: the manager says again what was not settled */
static void begin_again(void)
{
  assert_int_equal(ring_open(queue), 0);
  for (size_t i = 0; i < messages; i++)
    if (message[i].state == ENDED && message[i].seq > settled)
      end(i);
}

/* all that lives can be read, and nothing that was settled is there */
static void check(void)
{
  struct journal_replay r = {.lost = NULL};
  size_t live = 0;

  assert_int_equal(journal_replay(queue, &r), 0);
  for (size_t i = 0; i < messages; i++) {
    const struct flight *f = flights_find(&r.live, message[i].id);
    const char *image;
    if (f && message[i].state == ENDED && message[i].seq > settled) {
      live++;
      continue;
    }
    if ((f != NULL) != (message[i].state == LIVE))
      fail_msg("message %zu of %zu", i, messages);
    if (!f)
      continue;
    live++;
    assert_int_equal(journal_load(queue, f, &image), 0);
    assert_int_equal(f->len, message[i].len);
    for (size_t k = 0; k < f->len; k++)
      assert_int_equal(image[k], body_of(i));
  }
  assert_int_equal(r.live.count, live);
  flights_free(&r.live);
}

static uint64_t epoch_of(unsigned int segment)
{
  struct journal_replay r = {.lost = NULL};

  journal_replay(queue, &r);
  flights_free(&r.live);
  return r.segment[segment].head.epoch;
}

static void test_groups_and_notes(void **state)
{
  (void)state;
  assert_int_equal(write_group(5, 1000), 0);
  check();
  end(1);
  end(2);
  turn(0);
  assert_int_equal(take_settled(), 0); /* written, not flushed */
  check();
  ring_flush();
  assert_int_equal(take_settled(), 2);
  assert_int_equal(take_settled(), 0);
  end(3);
  turn(0);
  assert_int_equal(write_group(1, 10), 0); /* its flush is theirs too */
  assert_int_equal(take_settled(), 3);
  ring_note(JOURNAL_DONE, message[3].id, ++seq); /* of what is not there: only confirmed */
  turn(0);
  assert_int_equal(take_settled(), 4);
  assert_false(ring_is_live(message[3].id));
  assert_true(ring_is_live(message[4].id));
  check();
}

/* a run never writes behind what an earlier one left */
static void test_new_run_new_segment(void **state)
{
  (void)state;
  for (unsigned int run = 0; run < 3; run++) {
    assert_int_equal(write_group(1, 100), 0);
    assert_int_equal(epoch_of(run), run + 1);
    assert_int_equal(ring_open(queue), 0);
    check();
  }
}

/* groups, notes, kills and flushes as they come, for many rounds of the ring */
static void test_at_random(void **state)
{
  unsigned int seed = 4711, kinds[6] = {0};
  size_t oldest = 0;

  (void)state;
  while (messages < MANY - GROUP) {
    unsigned int what = (seed = seed * 1103515245 + 12345) >> 16;
    unsigned int r = (seed = seed * 1103515245 + 12345) >> 16;
    switch (what % 8) {
    case 0: case 1: case 2: /* all of it, some of it, or nothing has room */
      write_group(1 + r % GROUP, 1 + r % 7000);
      break;
    case 3: case 4: case 5:
      for (size_t i = oldest; i < messages; i++)
        if (message[i].state == LIVE && (i < messages - 60 || (r >> i % 8 & 3) == 0))
          end(i);
      turn(r & 1);
      break;
    case 6:
      turn(1);
      break;
    default:
      if (r % 4 == 0) {
        if (r & 16)
          turn(0);
        begin_again();
      }
    }
    while (oldest < messages && message[oldest].state != LIVE)
      oldest++;
    kinds[what % 6]++;
    take_settled();
    if (kinds[what % 6] % 7 == 0)
      check();
  }
  assert_true(epoch_of(0) > 3 * JOURNAL_SEGMENTS); /* it went round */
}

/* the head's copy stands behind the records, also where they fill their segment */
static void check_copies(unsigned int segments)
{
  static char head[2][JOURNAL_HEAD];

  for (unsigned int i = 0; i < segments; i++) {
    int fd = journal_open(queue, i, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, head[0], JOURNAL_HEAD, 0), JOURNAL_HEAD);
    assert_int_equal(pread(fd, head[1], JOURNAL_HEAD, SEGMENT - JOURNAL_HEAD), JOURNAL_HEAD);
    assert_memory_equal(head[0], head[1], JOURNAL_HEAD);
    close(fd);
  }
}

/* seven segments of messages that nobody takes: the last one is for notes */
static void test_full(void **state)
{
  size_t n = 0;
  unsigned int wanted;

  (void)state;
  while (write_group(1, 6096) == 0)
    n++;
  assert_int_equal(n, 7 * 4);
  check_copies(7);
  turn(0);
  wanted = ring_wanted();
  assert_int_equal(wanted, 1); /* the last is free; the one behind it should be */
  for (size_t i = 0; i < 4; i++)
    end(i);
  turn(1);
  turn(1);
  assert_int_equal(take_settled(), 4); /* there was room for them */
  check();
  assert_int_equal(ring_wanted(), 2); /* the first is free now; the second should be */
  for (size_t i = 4; i < 8; i++)
    end(i);
  turn(1);
  ring_hold(1); /* a manager reads: nothing of it may change */
  while (write_group(1, 6096) == 0)
    n++;
  check();
  assert_int_equal(n, 7 * 4 + 3); /* behind the notes */
  ring_hold(0);
  while (write_group(1, 6096) == 0)
    n++;
  check();
  assert_int_equal(n, 7 * 4 + 3 + 4);
}

/* nothing is free at a start: the notes that free the oldest segment are enough */
static void test_nothing_free(void **state)
{
  (void)state;
  for (unsigned int i = 0; i < JOURNAL_SEGMENTS - 1; i++) {
    assert_int_equal(write_group(1, 100), 0);
    assert_int_equal(ring_open(queue), 0);
  }
  assert_int_equal(write_group(1, 100), RING_FULL);
  end(3);
  turn(1); /* the last segment */
  assert_int_equal(take_settled(), 1);
  assert_int_equal(ring_open(queue), 0);
  check();
  end(4);
  turn(1);
  assert_int_equal(take_settled(), 0); /* there is nowhere to write it */
  end(0);
  turn(1);
  turn(1);
  assert_int_equal(take_settled(), 3);
  check();
}

/* a failed write: the group is refused, and ended by a note of our own; the next goes elsewhere */
static void test_write_fails(void **state)
{
  (void)state;
  assert_int_equal(write_group(1, 100), 0);
  pwritev_error = EIO;
  assert_int_equal(write_group(3, 100), EIO);
  pwritev_error = 0;
  assert_int_equal(write_group(2, 100), 0);
  assert_int_equal(epoch_of(1), 2);
  check();
  assert_int_equal(ring_open(queue), 0);
  check();
}

/* a failed flush: the same, though all of it may be on the disk */
static void test_flush_fails(void **state)
{
  (void)state;
  assert_int_equal(write_group(1, 100), 0);
  end(0);
  turn(0);
  fdatasync_error = EIO;
  assert_int_equal(write_group(2, 100), EIO);
  fdatasync_error = 0;
  for (size_t i = 1; i < 3; i++)
    ring_note(JOURNAL_DONE, message[i].id, 0); /* as commit.c does */
  ring_flush();
  assert_int_equal(take_settled(), 0); /* the note went with it */
  turn(1);
  turn(1);
  assert_int_equal(take_settled(), 1);
  assert_int_equal(epoch_of(1), 2);
  check();
  assert_int_equal(write_group(1, 100), 0);
  end(3); /* only notes are flushed, and that fails */
  turn(0);
  fdatasync_error = ENOSPC;
  ring_flush();
  fdatasync_error = 0;
  assert_int_equal(take_settled(), 0);
  turn(1);
  turn(1);
  assert_int_equal(take_settled(), seq);
  check();
}

/* a segment cannot be made: the messages become files; later it is tried again */
static void test_no_segment(void **state)
{
  struct stat st;

  (void)state;
  pwrite_error = ENOSPC;
  assert_int_equal(write_group(2, 100), RING_FULL);
  pwrite_error = 0;
  assert_int_equal(fstatat(queue, "journal/0", &st, 0), 0);
  assert_int_equal(st.st_size, 0); /* it takes no room */
  assert_int_equal(write_group(2, 100), RING_FULL); /* not at once */
  assert_int_equal(ring_open(queue), 0);
  assert_int_equal(write_group(2, 100), 0);
  check();
}

/* large ones are not for the journal */
static void test_takes(void **state)
{
  (void)state;
  assert_true(ring_takes(100));
  assert_true(ring_takes((SEGMENT - 2 * JOURNAL_HEAD) / 4 - JOURNAL_RECORD));
  assert_false(ring_takes((SEGMENT - 2 * JOURNAL_HEAD) / 4));
  settings.queue_journal = 0;
  turn(0);
  assert_false(ring_takes(100));
}

/* switched off: what lives is asked for, and when nothing does the files go */
static void test_off(void **state)
{
  struct stat st;

  (void)state;
  assert_int_equal(write_group(2, 100), 0);
  settings.queue_journal = 0;
  turn(1);
  assert_int_equal(write_group(1, 100), RING_FULL);
  assert_int_equal(ring_wanted(), 1);
  end(0);
  end(1);
  turn(1);
  assert_int_equal(take_settled(), 2);
  turn(1);
  assert_int_equal(fstatat(queue, "journal/0", &st, 0), -1);
  settings.queue_journal = 1;
  turn(1);
  assert_int_equal(write_group(1, 100), 0);
  check();
}

/* a power cut while they go leaves no message without the note that ended it: the oldest goes first, and
 * is gone for good before the next one does */
static void test_off_oldest_first(void **state)
{
  struct stat st;

  (void)state;
  for (size_t i = 0; i < 11; i++) { /* once around, and on to 2 */
    assert_int_equal(ring_open(queue), 0);
    assert_int_equal(write_group(1, 100), 0);
    end(i);
    turn(1);
    take_settled();
  }
  settings.queue_journal = 0;
  not_taken_away = '6';
  took_away[0] = 0;
  turn(1);
  assert_string_equal(took_away, "3.4.5.");
  assert_int_equal(fstatat(queue, "journal/7", &st, 0), 0);
  check();
  not_taken_away = 0;
  assert_int_equal(ring_open(queue), 0);
  check();
  took_away[0] = 0;
  turn(1);
  assert_string_equal(took_away, "...6.7.0.1.2.");
  check();
}

/* another size: segments are made anew as their turn comes */
static void test_other_size(void **state)
{
  struct stat st;

  (void)state;
  assert_int_equal(write_group(1, 6096), 0);
  settings.queue_journal_size *= 2;
  for (int i = 0; i < 8; i++) {
    turn(1);
    write_group(1, 6096);
    if (i > 0)
      end((size_t)i);
  }
  assert_int_equal(fstatat(queue, "journal/0", &st, 0), 0);
  assert_int_equal(st.st_size, SEGMENT);
  assert_int_equal(fstatat(queue, "journal/1", &st, 0), 0);
  assert_int_equal(st.st_size, 2 * SEGMENT);
  turn(1);
  check();
}

static void damage(const char *path, off_t at)
{
  int fd = openat(queue, path, O_WRONLY);

  assert_true(fd >= 0);
  assert_int_equal(__real_pwrite(fd, "damage", 6, at), 6);
  close(fd);
}

/* a damaged head: its copy counts. No message is lost, and none that is done with comes back */
static void test_damaged_head(void **state)
{
  (void)state;
  assert_int_equal(write_group(3, 100), 0);
  end(1);
  turn(1);
  take_settled();
  for (int i = 0; i < 5; i++) {
    char path[16];
    snprintf(path, sizeof path, "journal/%d", i);
    damage(path, i % 2 ? 20 : 0);
    assert_int_equal(ring_open(queue), 0);
    check();
    assert_int_equal(write_group(1, 100), 0);
    end(messages - 2); /* of an earlier segment */
    turn(1);
    take_settled();
  }
  damage("journal/5", SEGMENT - JOURNAL_HEAD); /* the copy alone */
  assert_int_equal(ring_open(queue), 0);
  check();
}

/* head and copy are damaged: the whole file is put aside, and the rest goes on */
static void test_damaged_heads(void **state)
{
  struct stat st;

  (void)state;
  assert_int_equal(write_group(1, 100), 0);
  assert_int_equal(ring_open(queue), 0);
  assert_int_equal(write_group(1, 100), 0);
  damage("journal/0", 20);
  damage("journal/0", SEGMENT - JOURNAL_HEAD + 30);
  message[0].state = NOT_THERE;
  end(1);
  turn(1);
  take_settled();
  assert_int_equal(ring_open(queue), 0);
  assert_int_equal(fstatat(queue, "corrupt/0", &st, 0), 0);
  assert_int_equal(st.st_size, SEGMENT);
  check();
  for (int i = 0; i < 20; i++) {
    assert_int_equal(write_group(1, 100), 0);
    assert_int_equal(ring_open(queue), 0);
    end(messages - 1);
    turn(1);
    take_settled();
    check();
  }
}

/* a record that was durable is damaged: a copy is kept, once */
static void test_damaged_record(void **state)
{
  struct stat st;

  (void)state;
  assert_int_equal(write_group(1, 100), 0);
  assert_int_equal(write_group(1, 100), 0);
  damage("journal/0", JOURNAL_HEAD + 60);
  message[0].state = NOT_THERE;
  for (int i = 0; i < 2; i++) {
    assert_int_equal(ring_open(queue), 0);
    assert_int_equal(fstatat(queue, "corrupt/journal.1.4096", &st, 0), 0);
    assert_int_equal(st.st_size, 152);
    check();
  }
}

static void resize(const char *path, off_t size)
{
  int fd = openat(queue, path, O_WRONLY);

  assert_true(fd >= 0);
  assert_int_equal(ftruncate(fd, size), 0);
  close(fd);
}

/* a segment that has grown, however far: what it was made for is read, and the next round makes it anew */
static void test_grown(void **state)
{
  struct stat st;

  (void)state;
  assert_int_equal(write_group(2, 100), 0);
  resize("journal/0", 3LL << 30);
  assert_int_equal(ring_open(queue), 0);
  check();
  assert_int_equal(fstatat(queue, "corrupt/0", &st, 0), -1);
  end(0);
  end(1);
  turn(1);
  take_settled();
  for (int i = 0; i < 20; i++) {
    assert_int_equal(write_group(1, 100), 0);
    assert_int_equal(ring_open(queue), 0);
    end(messages - 1);
    turn(1);
    take_settled();
    check();
  }
  assert_int_equal(fstatat(queue, "journal/0", &st, 0), 0);
  assert_int_equal(st.st_size, SEGMENT);
}

/* one that was cut: what is left is read, and nobody is told that all is well */
static void test_cut(void **state)
{
  struct journal_replay r = {.lost = NULL};
  struct stat st;

  (void)state;
  assert_int_equal(write_group(1, 100), 0);
  assert_int_equal(write_group(1, 100), 0);
  resize("journal/0", JOURNAL_HEAD + 160);
  message[1].state = NOT_THERE;
  assert_int_equal(journal_replay(queue, &r), 0);
  assert_true(r.segment[0].is_cut);
  flights_free(&r.live);
  assert_int_equal(ring_open(queue), 0);
  check();
  resize("journal/0", 100);
  message[0].state = NOT_THERE;
  assert_int_equal(ring_open(queue), 0);
  assert_int_equal(fstatat(queue, "corrupt/0", &st, 0), 0);
  check();
}

/* no file at all: something else stands under its name */
static void test_odd_file(void **state)
{
  (void)state;
  assert_int_equal(symlinkat("/etc/passwd", queue, "journal/1"), 0);
  assert_int_equal(mkdirat(queue, "journal/2", 0700), 0);
  assert_int_equal(ring_open(queue), 0);
  assert_int_equal(write_group(1, 100), RING_FULL); /* the segment behind must be free, for notes */
  assert_int_equal(unlinkat(queue, "journal/1", 0), 0);
  assert_int_equal(ring_open(queue), 0);
  assert_int_equal(write_group(1, 100), 0);
  assert_int_equal(unlinkat(queue, "journal/2", AT_REMOVEDIR), 0);
}

/* a command's note, while nothing runs */
static void test_note_now(void **state)
{
  (void)state;
  assert_int_equal(ring_note_now(queue, JOURNAL_DONE, "0abcdefghjkmn17"), 0); /* opens it; nothing is there */
  assert_int_equal(ring_open(queue), 0);
  assert_int_equal(write_group(4, 100), 0);
  assert_int_equal(ring_open(queue), 0);
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(ring_note_now(queue, JOURNAL_DONE, message[i].id), 0);
    message[i].state = ENDED;
    check();
  }
  assert_int_equal(ring_open(queue), 0);
  check();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
  const struct CMUnitTest tests[] = {
    TEST(test_groups_and_notes), TEST(test_new_run_new_segment), TEST(test_at_random),   TEST(test_full),
    TEST(test_nothing_free),     TEST(test_write_fails),         TEST(test_flush_fails), TEST(test_no_segment),
    TEST(test_takes),            TEST(test_off),  TEST(test_off_oldest_first),               TEST(test_other_size),  TEST(test_damaged_head),
    TEST(test_damaged_heads),    TEST(test_damaged_record),       TEST(test_grown),          TEST(test_cut),
    TEST(test_odd_file),         TEST(test_note_now),
  };
  return cmocka_run_group_tests_name("journal_ring", tests, NULL, NULL);
}
