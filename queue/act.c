/* act.c - what an administrator can do to a message
 *
 * Runs in the manager and, while it is down, in commands under the instance's lock. */
#include "queue/act.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/verdict.h"
#include "queue/envelope.h"
#include "queue/history.h"
#include "queue/store_flight.h"
#include "queue/transcript.h"

#define NEVER UINT32_MAX

static const char *const words[ACTS] = {[ACT_HOLD] = "hold",     [ACT_RELEASE] = "release",
                                        [ACT_RETRY] = "retry",   [ACT_REMOVE] = "remove",
                                        [ACT_BOUNCE] = "bounce", [ACT_ASIDE] = "aside",
                                        [ACT_MEND] = "mend",
                                        [ACT_ADOPT] = "adopt"};

const char *act_word(enum act a)
{
  return words[a];
}

int act_read(const char *s, enum act *a)
{
  for (int i = 0; i < ACTS; i++)
    if (strcmp(words[i], s) == 0) {
      *a = (enum act)i;
      return 0;
    }
  return -1;
}

/* RFC 3463: "5.DDD.DDD ", its length without the space; 0: there is none */
static size_t code_length(const char *s)
{
  size_t n = 2, digits;

  if (strncmp(s, "5.", 2) != 0)
    return 0;
  digits = strspn(s + n, "0123456789");
  n += digits;
  if (digits == 0 || digits > 3 || s[n] != '.')
    return 0;
  digits = strspn(s + ++n, "0123456789");
  return digits > 0 && digits <= 3 && s[n + digits] == ' ' ? n + digits : 0;
}

int act_reason(stralloc *out, const char *reason)
{
  const char *text = reason ? reason : "the administrator of this system gave the message up";

  return stralloc_copys(out, code_length(text) ? "" : "5.3.0 ") && stralloc_cats(out, text) &&
             stralloc_0(out)
           ? 0
           : -1;
}

static uint32_t now(void)
{
  return (uint32_t)time(NULL);
}

static enum acted failed(const struct store_name *n)
{
  if (errno == ENOENT)
    return ACTED_UNKNOWN;
  log_failed("queue", n->id, strerror(errno));
  return ACTED_FAILED;
}

static enum acted move(int queue_fd, struct store_name *n, enum store_state s, uint32_t next)
{
  return store_move(queue_fd, n, s, next, n->hop) == 0 ? ACTED_DONE : failed(n);
}

/* its next attempt stays in its name, for the day it is released */
enum acted act_hold(int queue_fd, struct store_name *n)
{
  return n->state == STORE_HOLD ? ACTED_NOTHING : move(queue_fd, n, STORE_HOLD, n->next);
}

enum acted act_release(int queue_fd, struct store_name *n)
{
  if (n->state != STORE_HOLD)
    return ACTED_NOTHING;
  if (n->next == NEVER) /* a route held it: none of its recipients has a time of its own */
    return act_retry(queue_fd, n);
  return move(queue_fd, n, STORE_CUR, n->next ? n->next : now());
}

/* opens and reads a message for changes, as a file: a descriptor, or -1 with errno */
static int open_message(int queue_fd, struct store_name *n, struct envelope *e)
{
  int fd = store_open(queue_fd, n, O_RDWR), saved;
  const char *why;

  if (fd < 0 && errno == EROFS && store_move(queue_fd, n, STORE_NEW, 0, 0) == 0)
    fd = store_open(queue_fd, n, O_RDWR);
  if (fd < 0)
    return -1;
  if (envelope_read(fd, e, &why) == 0) {
    if (strcmp(e->id, n->id) == 0)
      return fd;
    envelope_free(e);
    errno = EBADMSG;
  }
  saved = errno;
  close(fd);
  errno = saved;
  return -1;
}

enum acted act_retry(int queue_fd, struct store_name *n)
{
  struct envelope e;
  int fd = open_message(queue_fd, n, &e), r = 0;

  if (fd < 0)
    return failed(n);
  for (size_t i = 0; i < e.nrcpt && r == 0; i++)
    if (e.rcpt[i].status == RCPT_TODO && e.rcpt[i].next != 0) {
      e.rcpt[i].next = 0;
      r = envelope_mark(fd, &e, i);
    }
  envelope_free(&e);
  close(fd);
  if (r != 0)
    return failed(n);
  return n->state == STORE_NEW ? ACTED_DONE : move(queue_fd, n, STORE_CUR, now());
}

/* recipient i has failed; says so in the file, and in lines for its history. 0, or -1 */
static int fail_rcpt(int fd, struct envelope *e, size_t i, const char *reason, stralloc *lines)
{
  struct envelope_rcpt *r = &e->rcpt[i];
  char index[24], code[16];
  const char *outcome[] = {index, verdict_word(V_PERM), code, "", strchr(reason, ' ') + 1};

  snprintf(index, sizeof index, "%zu", i);
  snprintf(code, sizeof code, "%.*s", (int)strcspn(reason, " "), reason);
  r->status = RCPT_FAILED;
  if (r->attempts < 65535)
    r->attempts++;
  history_line_make(lines, 'o', (uint64_t)time(NULL), r->attempts, outcome, 5);
  return envelope_mark(fd, e, i);
}

enum acted act_bounce(int queue_fd, struct store_name *n, const char *reason, size_t *failed_rcpts)
{
  static stralloc lines; /* bound: a line for each recipient */
  struct envelope e;
  size_t failures = 0;
  int fd = open_message(queue_fd, n, &e), r = 0, saved;

  *failed_rcpts = 0;
  if (fd < 0)
    return failed(n);
  r = stralloc_copys(&lines, "") ? 0 : -1;
  for (size_t i = 0; r == 0 && i < e.nrcpt; i++)
    if (e.rcpt[i].status == RCPT_TODO) {
      r = fail_rcpt(fd, &e, i, reason, &lines);
      failures++;
    }
  if (failures > 0)
    history_append(fd, &e, &lines); /* what it cannot hold is missing in the report, no more */
  saved = errno;
  envelope_free(&e);
  close(fd);
  errno = saved;
  *failed_rcpts = failures;
  if (r != 0)
    return failed(n);
  return failures > 0 ? move(queue_fd, n, STORE_CUR, now()) : ACTED_NOTHING;
}

enum acted act_remove(int queue_fd, const struct store_name *n)
{
  struct store_name last = *n;

  /* until the journal knows, its file stays with nothing left to do: a start in between must find it
   * due, not on hold or waiting for a time */
  if (n->state != STORE_FLIGHT && flight_is_known(queue_fd, n->id))
    store_move(queue_fd, &last, STORE_CUR, 0, n->hop);
  if (store_remove(queue_fd, &last) != 0 && errno != ENOENT)
    return failed(n);
  transcript_left(queue_fd, n->id);
  return ACTED_DONE;
}
