/* verb_bdat.c - BDAT: a message in chunks that are counted
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. Octets that a BDAT announces are the
 * message's whatever becomes of the command: a refused one is answered when they were read and
 * dropped, so that none of them is ever taken as a command. Where their number cannot be read
 * the session ends. A chunk that is refused ends its message. RFC 3030 2, 4.2. */
#include "smtpd/bdat.h"

#include "common/log.h"
#include "common/settings.h"
#include "smtpd/verb.h"

enum reply verb_lose(struct session *s)
{
  s->world->abort(s);
  s->doing = ENDED;
  s->reason = "BDAT without a size";
  return REPLY_BDAT_LOST;
}

/* all octets of the command are there, and are not taken */
static void end_refused(struct session *s)
{
  enum reply r = s->chunk.refusal;

  s->chunk.refusal = REPLY_NONE;
  s->chunk.is_reading = 0;
  s->doing = COMMAND;
  session_reply(s, r, "BDAT", 4);
}

/* all octets of the command are there */
static void chunk_end(struct session *s)
{
  if (s->chunk.refusal != REPLY_NONE) {
    end_refused(s);
    return;
  }
  if (s->chunk.is_last && s->refusal == REPLY_NONE)
    data_frame(s, "", 0, 1);
  if (s->doing == FULL)
    return;
  s->chunk.is_reading = 0;
  if (s->chunk.is_last || s->refusal != REPLY_NONE) {
    data_over(s);
    return;
  }
  s->doing = COMMAND;
  s->order = HAVE_CHUNK;
  session_argument(s, s->chunk.size);
  session_reply(s, REPLY_CHUNK_OK, "BDAT", 4);
}

static enum reply read_octets(struct session *s)
{
  s->doing = DATA;
  if (s->chunk.left == 0)
    chunk_end(s);
  return REPLY_NONE;
}

enum reply chunk_drop(struct session *s, const struct command *c, enum reply r)
{
  uint64_t size;
  int is_last;

  if (bdat_parse(c->arg, c->arglen, &size, &is_last) != 0)
    return verb_lose(s);
  s->chunk.size = s->chunk.left = size;
  s->chunk.is_reading = 1;
  s->chunk.refusal = r;
  return read_octets(s);
}

static int is_too_big(const struct session *s)
{
  return s->end.size > settings.message_size_limit ||
         s->chunk.size > settings.message_size_limit - s->end.size;
}

enum reply verb_bdat(struct session *s, const struct command *c)
{
  int is_first = !s->chunk.is_open;

  if (bdat_parse(c->arg, c->arglen, &s->chunk.size, &s->chunk.is_last) != 0)
    return verb_lose(s);
  s->chunk.left = s->chunk.size;
  s->chunk.is_reading = s->chunk.is_open = 1;
  if (is_first)
    data_start(s);
  if (s->refusal == REPLY_NONE && is_too_big(s)) {
    session_argument(s, settings.message_size_limit);
    data_refuse(s, REPLY_TOO_BIG, NULL);
    s->world->abort(s);
  }
  if (!is_first || s->refusal != REPLY_NONE)
    return read_octets(s);
  s->doing = OPENING;
  if (s->world->open(s) == 0)
    return REPLY_NONE;
  data_refuse(s, REPLY_NO_INTAKE, NULL); /* and the transaction: what follows is no message without this */
  return read_octets(s);
}

void chunk_opened(struct session *s)
{
  read_octets(s);
}

/* while it was opened: the octets are still to come. Between chunks: the next command hears it. */
void chunk_refused(struct session *s)
{
  if (s->doing == OPENING)
    read_octets(s);
}

void chunk_go_on(struct session *s)
{
  if (s->chunk.left == 0)
    chunk_end(s);
}

size_t chunk_feed(struct session *s, const char *bytes, size_t len)
{
  size_t used = 0;

  while (used < len && s->doing == DATA && s->chunk.left > 0) {
    size_t n = len - used < s->chunk.left ? len - used : (size_t)s->chunk.left;
    if (s->chunk.refusal == REPLY_NONE && s->refusal == REPLY_NONE)
      n = data_frame(s, bytes + used, n, 0);
    s->chunk.left -= n;
    used += n;
  }
  if (s->doing == DATA && s->chunk.left == 0)
    chunk_end(s);
  return used;
}
