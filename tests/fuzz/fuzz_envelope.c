/* fuzz_envelope.c - a block either does not parse, or is made anew to the same lines */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* walks every string, so that a sanitizer sees one that does not end in the block */
static size_t walk(const struct envelope *e)
{
  size_t n = strlen(e->id) + strlen(e->sender) + strlen(e->envid) + strlen(e->ret) + strlen(e->client) +
             strlen(e->helo) + strlen(e->protocol);

  for (size_t i = 0; i < e->nrcpt; i++)
    n += strlen(e->rcpt[i].address) + strlen(e->rcpt[i].notify) + strlen(e->rcpt[i].orcpt) +
         strlen(envelope_domain(e->rcpt[i].address));
  return n;
}

static int remake(const struct envelope *e, stralloc *out)
{
  struct envelope_new n = {e->id, e->sender, e->envid, e->ret, e->client, e->helo, e->protocol, e->created, e->flags};

  if (envelope_begin(out, &n) != 0)
    return -1;
  for (size_t i = 0; i < e->nrcpt; i++)
    if (envelope_add_rcpt(out, e->rcpt[i].address, e->rcpt[i].notify, e->rcpt[i].orcpt) != 0)
      return -1;
  if (envelope_finish(out) != 0)
    return -1;
  envelope_head(out->s, &(struct envelope_sum){out->len, e->body_len, e->checksum, e->content, e->longest});
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  static stralloc block;
  struct envelope e, again;
  const char *why;

  if (envelope_parse((const char *)data, len, &e, &why) != 0)
    return 0;
  if (e.nrcpt == 0 || (size_t)e.body_at > len || walk(&e) > (size_t)e.body_at || remake(&e, &block) != 0 ||
      envelope_parse(block.s, block.len, &again, &why) != 0)
    abort();
  if (again.nrcpt != e.nrcpt || walk(&again) != walk(&e) || again.flags != e.flags || again.created != e.created ||
      again.longest != e.longest || again.content != e.content || again.checksum != e.checksum)
    abort();
  envelope_free(&again);
  envelope_free(&e);
  return 0;
}
