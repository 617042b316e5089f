/* inject.c - one new message given to the intake over an INJECT channel, blocking
 *
 * Runs in heloise-bounce. */
#include "queue/inject.h"

#include <errno.h>
#include <string.h>

#include "common/chan.h"

#define M 1 /* the message's number: there is one on this channel */
#define PATIENCE_MS (10 * 60 * 1000)

static int copy_field(const struct wire_msg *m, size_t i, char *out, size_t size)
{
  size_t len = m->f[i].len < size - 1 ? m->f[i].len : size - 1;

  memcpy(out, m->f[i].s, len);
  out[len] = 0;
  return 0;
}

/* waits for a message of that type: 0; -1 with errno */
static int await(struct inject *in, enum wire_type type)
{
  struct wire_msg m;
  int r = chan_recv_blocking(in->sock, LINK_INJECT, WIRE_LOW, PATIENCE_MS, &m);

  if (r < 0)
    return -1;
  errno = r == 0 ? EPIPE : EPROTO;
  if (r == 0)
    return -1;
  if (m.type == type)
    return copy_field(&m, 1, in->id, sizeof in->id);
  if (m.type == WIRE_REFUSED) {
    copy_field(&m, 2, in->refusal, sizeof in->refusal);
    errno = ECONNREFUSED;
  }
  return -1;
}

int inject_begin(struct inject *in, unsigned int flags, const char *client, const char *to)
{
  struct wire_out o;
  char letters[16];

  in->id[0] = in->refusal[0] = 0;
  wire_start(&o, WIRE_BEGIN);
  wire_num(&o, M);
  wire_bytes(&o, letters, envelope_flags_write(letters, flags));
  wire_str(&o, ""); /* sender */
  wire_str(&o, ""); /* ENVID */
  wire_str(&o, ""); /* RET */
  wire_str(&o, client);
  wire_str(&o, ""); /* HELO */
  wire_str(&o, "local");
  wire_num(&o, 1);
  if (chan_send_blocking(in->sock, &o, -1) != 0)
    return -1;
  wire_start(&o, WIRE_RCPT);
  wire_num(&o, M);
  wire_str(&o, to);
  wire_str(&o, "");
  wire_str(&o, "");
  return chan_send_blocking(in->sock, &o, -1) != 0 ? -1 : await(in, WIRE_OPENED);
}

int inject_data(struct inject *in, const char *s, size_t len)
{
  while (len > 0) {
    size_t n = len < INJECT_FRAME ? len : INJECT_FRAME;
    struct wire_out o;
    wire_start(&o, WIRE_DATA);
    wire_num(&o, M);
    wire_bytes(&o, s, n);
    if (chan_send_blocking(in->sock, &o, -1) != 0)
      return -1;
    s += n;
    len -= n;
  }
  return 0;
}

int inject_commit(struct inject *in)
{
  struct wire_out o;

  wire_start(&o, WIRE_COMMIT);
  wire_num(&o, M);
  return chan_send_blocking(in->sock, &o, -1) != 0 ? -1 : await(in, WIRE_DONE);
}
