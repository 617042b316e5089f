/* test_import.c - what an archive becomes in the queue, also when the disk fails
 *
 * fdatasync, fsync and renameat2 are wrapped, to fail when told. */
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
#include <unistd.h>

#include <xxhash.h>

#include "common/verdict.h"
#include "queue/archive.h"
#include "queue/envelope.h"
#include "queue/import.h"

static int fail_fdatasync, fail_fsync, fail_rename; /* the n-th call fails; 0: none */

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat2(int a, const char *from, int b, const char *to, unsigned int flags);
int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned int flags);

static int fails(int *countdown)
{
  if (*countdown == 0 || --*countdown > 0)
    return 0;
  errno = EIO;
  return 1;
}

int __wrap_fdatasync(int fd)
{
  return fails(&fail_fdatasync) ? -1 : __real_fdatasync(fd);
}

int __wrap_fsync(int fd)
{
  return fails(&fail_fsync) ? -1 : __real_fsync(fd);
}

int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned int flags)
{
  return fails(&fail_rename) ? -1 : __real_renameat2(a, from, b, to, flags);
}

static char dir[64];
static int queue;
static stralloc out, errors;
static struct store_name adopted[10];
static size_t count;

static int find(const char *id, struct inspect_message *m)
{
  for (size_t i = 0; i < count; i++)
    if (strcmp(adopted[i].id, id) == 0) {
      m->name = adopted[i];
      return 0;
    }
  return -1;
}

static void on_adopted(void *arg, const struct store_name *n)
{
  (void)arg;
  adopted[count++] = *n;
}

static int print(void *arg, const char *s, size_t len, int error)
{
  (void)arg;
  return stralloc_catb(error ? &errors : &out, s, len) ? 0 : -1;
}

static int set_up(void **state)
{
  (void)state;
  count = 0;
  fail_fdatasync = fail_fsync = fail_rename = 0;
  strcpy(dir, "/tmp/test_import.XXXXXX");
  if (!mkdtemp(dir))
    return -1;
  queue = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return queue < 0 ? -1 : store_make(queue);
}

static int tear_down(void **state)
{
  char command[100];

  (void)state;
  fail_fdatasync = fail_fsync = fail_rename = 0;
  close(queue);
  snprintf(command, sizeof command, "rm -rf %s", dir);
  return system(command) == 0 ? 0 : -1;
}

/* ---- archives */

struct said {
  const char *body;
  unsigned int content, longest; /* what the head line says of it */
};

static void make_message(stralloc *file, const char *id, const char *rcpt, const struct said *said)
{
  struct envelope_new n = {.id = id, .sender = "alice@example.org", .envid = "", .ret = "", .client = "local:1",
                           .helo = "", .protocol = "local", .created = 1769850000};
  struct envelope_sum sum = {.body_len = strlen(said->body), .content = said->content, .longest = said->longest};
  XXH3_state_t *x = XXH3_createState();

  assert_int_equal(envelope_begin(file, &n), 0);
  assert_int_equal(envelope_add_rcpt(file, rcpt, "", ""), 0);
  assert_int_equal(envelope_finish(file), 0);
  sum.env_len = file->len;
  XXH3_64bits_reset(x);
  XXH3_64bits_update(x, file->s + ENVELOPE_HEAD, file->len - ENVELOPE_HEAD);
  XXH3_64bits_update(x, said->body, strlen(said->body));
  envelope_head(file->s, &sum);
  XXH3_64bits_update(x, file->s, ENVELOPE_HEAD_SUMMED);
  sum.checksum = XXH3_64bits_digest(x);
  envelope_head(file->s, &sum);
  assert_true(stralloc_cats(file, said->body) && stralloc_cats(file, ENVELOPE_END));
  XXH3_freeState(x);
}

static void add_content(stralloc *archive, const char *id, const char *rcpt, const struct said *said)
{
  struct store_name n = {.state = STORE_CUR, .next = 0x6b026d19};
  XXH3_state_t *x = XXH3_createState();
  stralloc file = {0}, line = {0};

  memcpy(n.id, id, sizeof n.id);
  make_message(&file, id, rcpt, said);
  archive_message(&line, &n, file.len);
  XXH3_64bits_reset(x);
  XXH3_64bits_update(x, line.s, line.len);
  XXH3_64bits_update(x, file.s, file.len);
  assert_true(stralloc_cat(archive, &line) && stralloc_cat(archive, &file));
  archive_sum(&line, XXH3_64bits_digest(x));
  assert_true(stralloc_cat(archive, &line));
  XXH3_freeState(x);
  stralloc_free(&file);
  stralloc_free(&line);
}

static void add_message(stralloc *archive, const char *id, const char *rcpt)
{
  static const struct said plain = {"body..\r\n", 0, 6};

  add_content(archive, id, rcpt, &plain);
}

static void end(stralloc *archive, size_t records)
{
  char line[64];

  snprintf(line, sizeof line, "e %zu %016llx\n", records, (unsigned long long)XXH3_64bits(archive->s, archive->len));
  assert_true(stralloc_cats(archive, line));
}

static void two(stralloc *archive)
{
  archive_head(archive, "h", 1);
  add_message(archive, "0abcdefghjkmn17", "bob@example.net");
  add_message(archive, "0abcdefghjkmn16", "bob@example.net");
  end(archive, 2);
}

/* the exit code */
static int run(const stralloc *archive)
{
  struct inspect_view v = {.queue_fd = queue, .find = find, .print = print};
  struct import *in = import_begin(&v, 0, on_adopted, NULL);
  int code;

  assert_non_null(in);
  assert_true(stralloc_copys(&out, "") && stralloc_copys(&errors, ""));
  import_feed(in, archive->s, archive->len);
  code = import_end(in);
  assert_true(stralloc_0(&out) && stralloc_0(&errors));
  return code;
}

static int files_in(const char *path)
{
  int fd = openat(queue, path, O_RDONLY | O_DIRECTORY), n = 0;
  DIR *d = fdopendir(fd);
  struct dirent *e;

  while ((e = readdir(d)))
    n += e->d_name[0] != '.';
  closedir(d);
  return n;
}

static void test_taken(void **state)
{
  stralloc archive = {0};

  (void)state;
  two(&archive);
  assert_int_equal(run(&archive), EXIT_OK);
  assert_string_equal(out.s, "2 messages were imported.\n");
  assert_int_equal(count, 2);
  assert_int_equal(adopted[0].next, 0x6b026d19);
  assert_int_equal(files_in("cur/17") + files_in("cur/16"), 2);
  assert_int_equal(run(&archive), EXIT_OK);
  assert_non_null(strstr(out.s, "2 were in the queue already"));
  assert_int_equal(files_in("cur/17") + files_in("cur/16"), 2);
  assert_int_equal(files_in("tmp"), 0);
  stralloc_free(&archive);
}

/* nothing that is not on disk is called imported */
static void test_failing_disk(void **state)
{
  static const struct {
    int *which, at, is_in_place;
  } rows[] = {{&fail_fdatasync, 1, 1}, {&fail_fdatasync, 2, 1}, {&fail_rename, 1, 1}, {&fail_rename, 2, 1}, {&fail_fsync, 1, 2},
              {&fail_fsync, 2, 2}};

  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    stralloc archive = {0};
    if (i > 0)
      tear_down(state);
    assert_int_equal(set_up(state), 0);
    two(&archive);
    *rows[i].which = rows[i].at;
    assert_int_equal(run(&archive), EXIT_CANTCREAT);
    assert_non_null(strstr(errors.s, "cannot be written"));
    assert_non_null(strstr(out.s, rows[i].is_in_place == 2 ? "0 messages were" : "1 message was"));
    assert_int_equal(files_in("cur/17") + files_in("cur/16"), rows[i].is_in_place);
    assert_int_equal(files_in("tmp"), 0);
    assert_int_equal(count, rows[i].is_in_place);
    stralloc_free(&archive);
  }
}

/* a message that says another id, hostile addresses, or an id twice */
static void test_refused(void **state)
{
  stralloc archive = {0};

  (void)state;
  archive_head(&archive, "h", 1);
  add_message(&archive, "0abcdefghjkmn17", "bob@exa mple.net");
  add_message(&archive, "0abcdefghjkmn16", "bob");
  add_message(&archive, "0abcdefghjkmn15", "bob@example.net");
  add_message(&archive, "0abcdefghjkmn15", "bob@example.net");
  end(&archive, 4);
  assert_int_equal(run(&archive), EXIT_DATA);
  assert_non_null(strstr(errors.s, "0abcdefghjkmn17 is not taken: an address is malformed"));
  assert_non_null(strstr(errors.s, "0abcdefghjkmn15 is not taken: its id stands twice"));
  assert_int_equal(files_in("cur/17") + files_in("tmp"), 0);
  assert_int_equal(files_in("cur/15"), 1);
  stralloc_free(&archive);
}

/* what its head line says decides how a message is sent: it is not believed */
static void test_content(void **state)
{
  static const struct {
    struct said said;
    int is_taken;
  } rows[] = {
    {{"a: b\r\n\r\n.\r\nMAIL FROM:<>\r\n", 0, 12}, 0},
    {{"a: b\r\n\r\n.\r\nMAIL FROM:<>\r\n", CONTENT_DOT_LINE, 12}, 1},
    {{"a: b\r\n\r\n\n.\n\r\n", 0, 12}, 0},
    {{"a: b\r\n\r\n\r.\r\r\n", 0, 12}, 0},
    {{"a: b\r\n\r\nno end", 0, 12}, 0},
    {{"a: b\r\n\r\n\xc3\xa4\r\n", 0, 12}, 0},
    {{"a: b\r\n\r\n\xc3\xa4\r\n", CONTENT_8BIT_BODY, 12}, 1},
    {{"a: \xc3\xa4\r\n\r\n", CONTENT_8BIT_BODY, 12}, 0},
    {{"a: \xc3\xa4\r\n\r\n", CONTENT_8BIT_HEADER, 12}, 1},
    {{"a: b\r\n\r\nlonger\r\n", 0, 5}, 0},
  };

  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    stralloc archive = {0};
    if (i > 0)
      tear_down(state);
    assert_int_equal(set_up(state), 0);
    archive_head(&archive, "h", 1);
    add_content(&archive, "0abcdefghjkmn17", "bob@example.net", &rows[i].said);
    end(&archive, 1);
    assert_int_equal(run(&archive), rows[i].is_taken ? EXIT_OK : EXIT_DATA);
    assert_int_equal(files_in("cur/17"), rows[i].is_taken);
    assert_int_equal(files_in("tmp"), 0);
    stralloc_free(&archive);
  }
}

/* one import at a time; the other takes nothing, and says so */
static void test_two_at_once(void **state)
{
  struct inspect_view v = {.queue_fd = queue, .find = find, .print = print};
  struct import *first = import_begin(&v, 0, on_adopted, NULL);
  stralloc archive = {0};

  (void)state;
  assert_non_null(first);
  two(&archive);
  assert_int_equal(run(&archive), EXIT_TEMPFAIL);
  assert_non_null(strstr(errors.s, "another import is at work"));
  assert_int_equal(files_in("cur/17") + files_in("cur/16") + files_in("tmp"), 0);
  import_feed(first, archive.s, archive.len);
  assert_int_equal(import_end(first), EXIT_OK);
  assert_int_equal(files_in("cur/17") + files_in("cur/16"), 2);
  stralloc_free(&archive);
}

/* what an import that was killed left in tmp is taken over, but not what is the manager's */
static void test_killed(void **state)
{
  stralloc archive = {0};

  (void)state;
  close(store_create(queue, "0abcdefghjkmn17"));
  two(&archive);
  assert_int_equal(run(&archive), EXIT_OK);
  assert_string_equal(out.s, "2 messages were imported.\n");
  assert_int_equal(files_in("tmp"), 0);
  close(store_create(queue, "0abcdefghjkmn17"));
  assert_int_equal(run(&archive), EXIT_DATA);
  assert_non_null(strstr(errors.s, "0abcdefghjkmn17 is not taken: the queue is just working on"));
  assert_int_equal(files_in("tmp"), 1);
  stralloc_free(&archive);
}

/* one whose last messages the manager has not heard of yet: they are known all the same */
static void test_not_heard_of(void **state)
{
  stralloc archive = {0};

  (void)state;
  two(&archive);
  assert_int_equal(run(&archive), EXIT_OK);
  count = 0;
  assert_int_equal(run(&archive), EXIT_OK);
  assert_non_null(strstr(out.s, "2 were in the queue already"));
  assert_int_equal(count, 0);
  assert_int_equal(files_in("cur/17") + files_in("cur/16"), 2);
  assert_int_equal(files_in("tmp"), 0);
  stralloc_free(&archive);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
  const struct CMUnitTest tests[] = {TEST(test_taken), TEST(test_failing_disk), TEST(test_refused),
                                     TEST(test_content), TEST(test_two_at_once), TEST(test_killed), TEST(test_not_heard_of)};

  return cmocka_run_group_tests_name("import", tests, NULL, NULL);
}
