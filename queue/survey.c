/* survey.c - what lies in the queue, and what does not belong there
 *
 * Runs in the manager and its children and, while it is down, in commands under the instance's
 * lock. */
#include "queue/survey.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/journal.h"
#include "queue/transcript.h"

#define PATH_LIMIT 600 /* a path here: a bucket's and a file name */

struct surveying {
  int queue_fd, depth;
  int (*f)(void *arg, const struct survey_entry *e);
  void *arg;
  int is_partial; /* some directory could not be read */
};

/* ---- the directories of the queue */

enum inside {
  INSIDE_BUCKETS,     /* 00 to 77, with messages */
  INSIDE_TRANSCRIPTS, /* 00 to 77 and all, with transcripts */
  INSIDE_TMP,
  INSIDE_DROP,
  INSIDE_CORRUPT,
  INSIDE_JOURNAL, /* its segments; what is in them is the journal's business */
  INSIDE_OTHERS
};

static const struct {
  const char *name;
  enum inside inside;
  int may_miss;
} places[] = {
  {"new", INSIDE_BUCKETS, 0},    {"cur", INSIDE_BUCKETS, 0},
  {"hold", INSIDE_BUCKETS, 0},   {"tmp", INSIDE_TMP, 0},
  {"drop", INSIDE_DROP, 0},      {"corrupt", INSIDE_CORRUPT, 0},
  {"journal", INSIDE_JOURNAL, 1}, {"transcript", INSIDE_TRANSCRIPTS, 1},
  {"lost+found", INSIDE_OTHERS, 1},
};
#define PLACES (sizeof places / sizeof *places)

static int tell(struct surveying *s, enum survey_kind kind, const char *path, const char *why)
{
  struct survey_entry e = {.kind = kind, .path = path, .why = why};

  if (kind == SURVEY_MESSAGE && store_parse(path, &e.name) != 0) {
    e.kind = SURVEY_FOREIGN;
    e.why = "not the name of a message";
  }
  return s->f(s->arg, &e);
}

/* calls f(s, path, type) for each entry of a directory; type is S_IFMT's part of its mode, 0 when
 * it is gone. What f returns, when that is not 0 */
static int each_entry(struct surveying *s, const char *dir,
                      int (*f)(struct surveying *s, const char *path, mode_t type))
{
  int fd = openat(s->queue_fd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
  DIR *d = fd < 0 ? NULL : fdopendir(fd);
  struct dirent *e;

  if (!d) {
    if (fd >= 0)
      close(fd);
    s->is_partial |= errno != ENOENT;
    return 0;
  }
  while (r == 0 && (errno = 0, e = readdir(d))) {
    char path[PATH_LIMIT];
    struct stat st;
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
      continue;
    snprintf(path, sizeof path, "%s%s%s", strcmp(dir, ".") == 0 ? "" : dir,
             strcmp(dir, ".") == 0 ? "" : "/", e->d_name);
    if (fstatat(s->queue_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
      r = f(s, path, st.st_mode & S_IFMT);
  }
  s->is_partial |= r == 0 && errno != 0;
  closedir(d);
  return r;
}

static const char *wrong_type(mode_t type)
{
  switch (type) {
  case S_IFDIR:
    return "a directory";
  case S_IFLNK:
    return "a symbolic link";
  case S_IFREG:
    return "a file where a directory should be";
  default:
    return "not a file";
  }
}

static int is_bucket(const char *name)
{
  return name[0] >= '0' && name[0] <= '7' && name[1] >= '0' && name[1] <= '7' && name[2] == 0;
}

static const char *base_of(const char *path)
{
  const char *slash = strrchr(path, '/');

  return slash ? slash + 1 : path;
}

static int tell_dir(struct surveying *s, const char *path, mode_t type, int is_ours)
{
  if (is_ours && type == S_IFDIR)
    return 0;
  return tell(s, SURVEY_FOREIGN, path,
              is_ours ? wrong_type(type) : "nothing of this name belongs into the queue");
}

static int in_queue(struct surveying *s, const char *path, mode_t type)
{
  size_t i = 0;

  if (strcmp(path, "clock") == 0 && type == S_IFREG) /* pastclock.h */
    return 0;
  while (i < PLACES && strcmp(places[i].name, path) != 0)
    i++;
  return tell_dir(s, path, type, i < PLACES);
}

static int in_buckets(struct surveying *s, const char *path, mode_t type)
{
  return tell_dir(s, path, type, is_bucket(base_of(path)));
}

static int in_transcripts(struct surveying *s, const char *path, mode_t type)
{
  return tell_dir(s, path, type, is_bucket(base_of(path)) || strcmp(base_of(path), "all") == 0);
}

static int in_journal(struct surveying *s, const char *path, mode_t type)
{
  const char *name = base_of(path);

  if (name[0] < '0' || name[0] >= '0' + JOURNAL_SEGMENTS || name[1])
    return tell(s, SURVEY_FOREIGN, path, "nothing of this name belongs into the queue");
  return type == S_IFREG ? 0 : tell(s, SURVEY_FOREIGN, path, wrong_type(type));
}

static int is_dir(const struct surveying *s, const char *path)
{
  struct stat st;

  return fstatat(s->queue_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int tell_missing(struct surveying *s, const char *path)
{
  struct stat st;

  if (fstatat(s->queue_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
    return 0;
  return tell(s, SURVEY_MISSING, path, "the directory is missing");
}

static int survey_places(struct surveying *s)
{
  int r = each_entry(s, ".", in_queue);

  for (size_t i = 0; r == 0 && i < PLACES; i++) {
    char path[PATH_LIMIT];
    if (!places[i].may_miss)
      r = tell_missing(s, places[i].name);
    if (r != 0 || !is_dir(s, places[i].name))
      continue;
    if (places[i].inside == INSIDE_TRANSCRIPTS)
      r = each_entry(s, places[i].name, in_transcripts);
    if (places[i].inside == INSIDE_JOURNAL)
      r = each_entry(s, places[i].name, in_journal);
    if (places[i].inside != INSIDE_BUCKETS)
      continue;
    r = each_entry(s, places[i].name, in_buckets);
    for (unsigned int b = 0; r == 0 && b < 64; b++) {
      snprintf(path, sizeof path, "%s/%02o", places[i].name, b);
      r = tell_missing(s, path);
    }
  }
  return r;
}

/* ---- what lies in them */

static int message(struct surveying *s, const char *path, mode_t type)
{
  return type == S_IFREG ? tell(s, SURVEY_MESSAGE, path, NULL)
                         : tell(s, SURVEY_FOREIGN, path, wrong_type(type));
}

static int left(struct surveying *s, const char *path, mode_t type)
{
  if (type != S_IFREG)
    return tell(s, SURVEY_FOREIGN, path, wrong_type(type));
  return tell(s, SURVEY_LEFT, path, "being received, or left from an earlier run");
}

static int in_tmp(struct surveying *s, const char *path, mode_t type)
{
  const char *name = base_of(path);

  if (type == S_IFREG && !store_is_id(name, strlen(name)))
    return tell(s, SURVEY_FOREIGN, path, "not the name of a message");
  return left(s, path, type);
}

static int in_corrupt(struct surveying *s, const char *path, mode_t type)
{
  return tell(s, SURVEY_CORRUPT, path, type == S_IFREG ? NULL : wrong_type(type));
}

static int transcript(struct surveying *s, const char *path, mode_t type)
{
  const char *name = base_of(path);

  if (type != S_IFREG)
    return tell(s, SURVEY_FOREIGN, path, wrong_type(type));
  if (strncmp(path, "transcript/all/", 15) == 0 || store_is_id(name, strlen(name)))
    return 0;
  return tell(s, SURVEY_FOREIGN, path, "not the name of a transcript");
}

static int survey_buckets(struct surveying *s, const char *place,
                          int (*f)(struct surveying *s, const char *path, mode_t type))
{
  char path[PATH_LIMIT];
  int r = 0;

  for (unsigned int b = 0; r == 0 && b < 64; b++) {
    snprintf(path, sizeof path, "%s/%02o", place, b);
    if (is_dir(s, path))
      r = each_entry(s, path, f);
  }
  return r;
}

static int survey_place(struct surveying *s, size_t i)
{
  const char *name = places[i].name;
  int r;

  switch (places[i].inside) {
  case INSIDE_TRANSCRIPTS:
    r = survey_buckets(s, name, transcript);
    return r != 0 ? r : each_entry(s, "transcript/all", transcript);
  case INSIDE_TMP:
    return each_entry(s, name, in_tmp);
  case INSIDE_DROP:
    return each_entry(s, name, left);
  case INSIDE_CORRUPT:
    return each_entry(s, name, in_corrupt);
  default:
    return 0;
  }
}

/* the states of a bucket one after the other: what stands in two of them comes close together */
static int survey_messages(struct surveying *s)
{
  int r = 0;

  for (unsigned int b = 0; r == 0 && b < 64; b++)
    for (size_t i = 0; r == 0 && i < PLACES; i++) {
      char path[PATH_LIMIT];
      snprintf(path, sizeof path, "%s/%02o", places[i].name, b);
      if (places[i].inside == INSIDE_BUCKETS && is_dir(s, places[i].name) && is_dir(s, path))
        r = each_entry(s, path, message);
    }
  return r;
}

int survey(int queue_fd, int depth, int (*f)(void *arg, const struct survey_entry *e), void *arg)
{
  struct surveying s = {queue_fd, depth, f, arg, 0};
  int r = survey_places(&s);

  if (r == 0 && depth > 1)
    r = survey_messages(&s);
  for (size_t i = 0; r == 0 && depth > 1 && i < PLACES; i++)
    if (is_dir(&s, places[i].name))
      r = survey_place(&s, i);
  return r == 0 && s.is_partial ? -1 : r;
}

/* ---- putting right */

/* whether a path is one of the queue's, and no part of it but the last a link */
static int is_path(int queue_fd, const char *path)
{
  char part[PATH_LIMIT];
  struct stat st;

  if (*path == '/' || strlen(path) >= sizeof part || strcmp(path, "corrupt") == 0 ||
      strncmp(path, "corrupt/", 8) == 0)
    return 0;
  for (const char *p = path, *slash; *p; p = slash + 1) {
    size_t len = strcspn(p, "/");
    if (len == 0 || (len == 1 && *p == '.') || (len == 2 && strncmp(p, "..", 2) == 0))
      return 0;
    slash = p + len;
    if (*slash == 0)
      return 1;
    snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
    if (fstatat(queue_fd, part, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode))
      return 0;
  }
  return 0;
}

int survey_aside(int queue_fd, const char *path, const char *why)
{
  struct stat st;
  int depth = 0;

  errno = EINVAL;
  for (const char *p = path; *p; p++)
    depth += *p == '/';
  if (strcmp(path, "corrupt") != 0 && !is_path(queue_fd, path))
    return -1;
  if (fstatat(queue_fd, path, &st, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno != ENOENT || depth > 1)
      return -1;
  } else if (strcmp(path, "corrupt") == 0) {
    /* what stands in corrupt's own place goes beside it, where the next survey finds it */
    if (S_ISDIR(st.st_mode) ||
        renameat2(queue_fd, path, queue_fd, "not-corrupt", RENAME_NOREPLACE) != 0)
      return -1;
  } else if (store_put_aside(queue_fd, path, why) != 0) {
    return -1;
  }
  if (depth > 1)
    return 0;
  return store_make(queue_fd) == 0 && transcript_make(queue_fd) == 0 ? 0 : -1;
}

int survey_mend(int queue_fd, const char *path)
{
  struct store_name n;
  struct stat queue, st;
  int fd, r;

  errno = EINVAL;
  if (!is_path(queue_fd, path) || store_parse(path, &n) != 0 || fstat(queue_fd, &queue) != 0)
    return -1;
  fd = openat(queue_fd, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    return -1;
  r = fstat(fd, &st);
  errno = EBADMSG;
  if (r == 0)
    r = S_ISREG(st.st_mode) ? 0 : -1;
  if (r == 0 && st.st_uid != queue.st_uid)
    r = fchownat(fd, "", queue.st_uid, queue.st_gid, AT_EMPTY_PATH);
  if (r == 0)
    r = fchmodat(queue_fd, path, 0600, 0);
  close(fd);
  return r;
}

static int tidy_one(void *arg, const struct survey_entry *e)
{
  if (e->kind == SURVEY_FOREIGN || e->kind == SURVEY_MISSING)
    survey_aside(*(int *)arg, e->path, e->why);
  return 0;
}

/* two programs start at a time: the second must not take for foreign what the first has just made */
int survey_tidy(int queue_fd)
{
  int own = openat(queue_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
  struct stat st;

  if (own < 0 || flock(own, LOCK_EX) != 0) {
    if (own >= 0)
      close(own);
    return -1;
  }
  if (fstatat(own, "corrupt", &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode))
    survey_aside(own, "corrupt", "not a directory"); /* the others go there */
  survey(own, 1, tidy_one, &own);
  r = store_settle(own);
  close(own);
  return r;
}
