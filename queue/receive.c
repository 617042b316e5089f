/* receive.c - new messages on their way into the queue
 *
 * Runs in heloise-intake. What is received is hostile: addresses, parameters and content
 * are checked here although smtpd did so before. commit.c makes it durable. */
#include "queue/receive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/address.h"
#include "common/content.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"
#include "common/write.h"
#include "common/xtext.h"
#include "queue/commit.h"
#include "queue/incoming.h"

#define IN_MEMORY (128 * 1024)              /* of one message, then it goes to tmp */
#define ALL_IN_MEMORY (64 * 1024 * 1024)    /* of all messages, then each new byte goes to tmp */
#define SCARCE (64 * 1024 * 1024)           /* room left on the disk */
#define OURS_MAX (8 * 1024)                 /* bytes of fields that smtpd adds, beyond message-size-limit */
#define MEMORY_MAX (256 * 1024 * 1024)      /* envelopes too; beyond it no message is begun */

static int queue_fd;
static size_t in_memory;

/* ---- replies; the client sees them as they are */

static const char no_room[] = "452 4.3.1 The queue's disk is full; try again later";
static const char no_write[] = "452 4.3.1 The queue cannot be written; try again later";
static const char no_memory[] = "452 4.3.2 Out of memory; try again later";
static const char malformed[] = "451 4.3.5 The message was handed over malformed";
static const char too_big[] = "552 5.3.4 The message is larger than this server takes; send a smaller one";
static const char has_nul[] = "550 5.6.0 The message holds a NUL byte; encode it (base64) and send again";
static const char has_bare[] =
  "550 5.6.0 The message holds a CR or LF that is not part of CR LF; fix the line ends and send again";
static const char loop[] = "554 5.4.6 The message has passed too many hops: it is looping";
static const char big_header[] = "552 5.3.4 The header is larger than this server takes; shorten it";

static const char *reply_for(int error)
{
  if (error == ENOSPC || error == EDQUOT)
    return no_room;
  return error == ENOMEM ? no_memory : no_write;
}

int receive_is_malformed(const char *reply)
{
  return reply == malformed;
}

/* ---- a message's life */

/* brings the sum of all memory up to date */
static void count(struct incoming *in)
{
  size_t has = in->head.a + in->body.a;

  in_memory += has - in->counted;
  in->counted = has;
}

static void free_incoming(struct incoming *in)
{
  if (in->fd >= 0)
    close(in->fd);
  in_memory -= in->counted;
  free(in->seen);
  free(in->head.s);
  free(in->body.s);
  free(in->sender);
  XXH3_freeState(in->sum);
  free(in);
}

const char *receive_id(const struct incoming *in)
{
  return in->id;
}

const struct flight *receive_place(const struct incoming *in)
{
  return in->is_journaled ? &in->place : NULL;
}

size_t receive_missing_rcpts(const struct incoming *in)
{
  return in->missing;
}

static int is_clean(const char *s, size_t max)
{
  size_t n = 0;

  for (; s[n]; n++)
    if ((unsigned char)s[n] < 32 || s[n] == 127)
      return 0;
  return n <= max;
}

static int is_word(const char *s, size_t max)
{
  return is_clean(s, max) && !strchr(s, ' ');
}

static int is_address(const char *s, int allow_null)
{
  static struct address a;
  const char *why;

  return address_parse(s, strlen(s), allow_null, &a, &why) == 0 && strcmp(a.text.s, s) == 0;
}

static int is_envelope(const struct envelope_new *n)
{
  return is_address(n->sender, 1) && is_word(n->envid, 400) &&
         (!*n->ret || strcmp(n->ret, "FULL") == 0 || strcmp(n->ret, "HDRS") == 0) &&
         is_clean(n->client, 300) && is_clean(n->helo, 300) && is_clean(n->protocol, 40);
}

/* looked at twice a second, and each time when it gets scarce */
static int has_room(void)
{
  static uint64_t checked_at, room;

  if (checked_at == 0 || loop_now() - checked_at > 500 ||
      room < settings.queue_min_free + SCARCE) {
    checked_at = loop_now();
    room = store_free(queue_fd);
  }
  return room > settings.queue_min_free;
}

struct incoming *receive_begin(struct envelope_new *n, size_t nrcpt, const struct receive_ops *ops,
                               void *owner, const char **reply)
{
  struct incoming *in;
  int made;

  *reply = malformed;
  if (!is_envelope(n) || nrcpt == 0)
    return NULL;
  *reply = no_room;
  if (!has_room())
    return NULL;
  *reply = no_memory;
  in = in_memory < MEMORY_MAX ? calloc(1, sizeof *in) : NULL;
  if (!in)
    return NULL;
  in->fd = -1;
  in->ops = ops;
  in->owner = owner;
  in->nrcpt = in->missing = nrcpt;
  in->flags = n->flags;
  store_fresh_id(in->id);
  n->id = in->id;
  n->created = (uint64_t)time(NULL);
  in->sender = strdup(n->sender);
  in->sum = XXH3_createState();
  in->seen = calloc(nrcpt * 2, sizeof *in->seen);
  made = envelope_begin(&in->head, n);
  count(in);
  if (!in->sender || !in->sum || !in->seen || made != 0) {
    free_incoming(in);
    return NULL;
  }
  content_start(&in->content);
  return in;
}

static int is_notify(const char *s)
{
  static const char *const words[] = {"", "NEVER", "SUCCESS", "FAILURE", "DELAY"};
  char copy[64], *save = NULL, *w;

  if (strlen(s) >= sizeof copy)
    return 0;
  strcpy(copy, s);
  for (w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
    size_t i = 1;
    while (i < 5 && strcmp(w, words[i]) != 0)
      i++;
    if (i == 5)
      return 0;
  }
  return 1;
}

/* remembers the recipient; 0 when it was named before with the same parameters */
static int is_new_rcpt(struct incoming *in, const char *address, const char *notify,
                       const char *orcpt)
{
  uint64_t h = XXH3_64bits_withSeed(address, strlen(address), 1);
  size_t places = in->nrcpt * 2, i;

  h = XXH3_64bits_withSeed(notify, strlen(notify), h);
  h = XXH3_64bits_withSeed(orcpt, strlen(orcpt), h) | 1;
  for (i = h % places; in->seen[i]; i = (i + 1) % places)
    if (in->seen[i] == h)
      return 0;
  in->seen[i] = h;
  return 1;
}

int receive_rcpt(struct incoming *in, const char *address, const char *notify, const char *orcpt)
{
  if (in->missing == 0 || !is_address(address, 0) || !is_notify(notify) || !is_word(orcpt, XTEXT_ORCPT_ROOM))
    return -1;
  if (in->head.len > ENVELOPE_MAX - 4096 ||
      (is_new_rcpt(in, address, notify, orcpt) &&
       envelope_add_rcpt(&in->head, address, notify, orcpt) != 0))
    return -1;
  in->missing--;
  count(in);
  if (in->missing > 0)
    return 0;
  free(in->seen);
  in->seen = NULL;
  if (envelope_finish(&in->head) != 0)
    return -1;
  XXH3_64bits_reset(in->sum);
  XXH3_64bits_update(in->sum, in->head.s + ENVELOPE_HEAD, in->head.len - ENVELOPE_HEAD);
  return 0;
}

static void refuse(struct incoming *in, const char *reply)
{
  log_intake_refused(in->id, in->sender, reply);
  if (in->fd >= 0)
    store_abandon(queue_fd, in->id);
  if (in->owner)
    in->ops->refused(in->owner, in, verdict_of_reply((unsigned int)atoi(reply)), reply);
  free_incoming(in);
}

void receive_abort(struct incoming *in)
{
  if (in->fd >= 0)
    store_abandon(queue_fd, in->id);
  free_incoming(in);
}

void receive_disown(struct incoming *in)
{
  in->owner = NULL;
}

/* from memory to tmp/ID; 0, or the errno */
static int spill(struct incoming *in)
{
  struct iovec v[2] = {{in->head.s, in->head.len}, {in->body.s, in->body.len}};
  int error;

  in->fd = store_create(queue_fd, in->id);
  if (in->fd < 0)
    return errno;
  error = write_pieces(in->fd, v, 2, WRITE_HERE) != 0 ? errno : 0;
  free(in->body.s);
  in->body = (stralloc){0};
  return error;
}

int receive_data(struct incoming *in, const char *s, size_t len)
{
  struct iovec v = {(void *)(uintptr_t)s, len};
  int error = 0;

  content_scan(&in->content, s, len);
  XXH3_64bits_update(in->sum, s, len);
  if (in->fd < 0 && (in->body.len + len > IN_MEMORY || in_memory > ALL_IN_MEMORY))
    error = spill(in);
  if (error == 0 && in->fd >= 0) {
    error = !has_room() ? ENOSPC : write_pieces(in->fd, &v, 1, WRITE_HERE) != 0 ? errno : 0;
  } else if (error == 0 && !stralloc_catb(&in->body, s, len)) {
    error = ENOMEM;
  }
  count(in);
  if (in->ops->limits == RECEIVE_REFUSES && in->content.size > settings.message_size_limit + OURS_MAX) {
    refuse(in, too_big);
    return -1;
  }
  if (error) {
    refuse(in, reply_for(error));
    return -1;
  }
  return 0;
}

/* ---- complete */

/* the marks of a message that may not be delivered */
static unsigned int over_limits(const struct incoming *in)
{
  if (in->ops->limits != RECEIVE_MARKS)
    return 0;
  return (in->content.received >= settings.received_limit ? CONTENT_LOOP : 0U) |
         (in->content.size > settings.message_size_limit ? CONTENT_TOO_BIG : 0U);
}

/* the head line: now all is known */
static void seal(struct incoming *in)
{
  struct envelope_sum sum = {
    in->head.len, in->content.size, 0,
    (in->content.has_8bit_header ? CONTENT_8BIT_HEADER : 0U) |
      (in->content.has_8bit_body ? CONTENT_8BIT_BODY : 0U) |
      (in->content.has_dot_line ? CONTENT_DOT_LINE : 0U) | over_limits(in),
    in->content.longest};

  envelope_head(in->head.s, &sum);
  XXH3_64bits_update(in->sum, in->head.s, ENVELOPE_HEAD_SUMMED);
  sum.checksum = XXH3_64bits_digest(in->sum);
  envelope_head(in->head.s, &sum);
}

static void finish(struct incoming *in)
{
  if (in->error) {
    if (in->fd >= 0) {
      close(in->fd);
      in->fd = -1; /* its file is gone already */
    }
    refuse(in, reply_for(in->error));
    return;
  }
  log_queued(in->id, in->sender, log_num(in->content.size), log_num(in->nrcpt));
  in->ops->durable(in->owner, in);
  free_incoming(in);
}

/* why the content is not taken, or NULL */
static const char *content_fault(const struct content *c, enum receive_limits limits)
{
  if (c->has_nul)
    return has_nul;
  if (c->has_bare_cr || c->has_bare_lf)
    return has_bare;
  if (!c->ends_line)
    return malformed;
  if (limits != RECEIVE_REFUSES)
    return NULL;
  if (c->size > settings.message_size_limit + OURS_MAX)
    return too_big;
  if (c->header_size > settings.header_size_limit)
    return big_header;
  return c->received >= settings.received_limit ? loop : NULL;
}

void receive_commit(struct incoming *in)
{
  const char *fault;

  content_end(&in->content);
  fault = in->missing ? malformed : content_fault(&in->content, in->ops->limits);
  if (fault) {
    refuse(in, fault);
    return;
  }
  seal(in);
  commit_add(in);
}

static void announce(const struct incoming *in)
{
  if (!in->error && in->ops->committed)
    in->ops->committed(in);
}

int receive_start(int fd)
{
  queue_fd = fd;
  return commit_start(fd, announce, finish);
}
