/* fuzz_submit.c - whatever a user writes, the message is in canonical form, has a header
 * that ends, and names no recipient with a line end in it */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/content.h"
#include "queue/submit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int see_address(void *arg, const char *s, size_t len)
{
  (void)arg;
  (void)s;
  return len > SUBMIT_HEADER_MAX;
}

static int see_field(void *arg, const char *value, size_t len)
{
  return submit_addresses(value, len, see_address, arg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  struct submit_text t = {.dot_is_text = len && data[0] & 1};
  struct submit_origin o = {.address = "a@b", .full_name = "N", .message_id = "m@h",
                            .removes_bcc = 1};
  struct submit_parts p;
  struct content c;
  stralloc text = {0}, head = {0};

  if (submit_text(&t, &text, (const char *)data, len) != 0 || submit_text(&t, &text, NULL, 0) != 0)
    abort();
  if (submit_split(text.s, text.len, 1, &p) != 1 || p.header_at + p.header_len > p.body_at ||
      p.body_at > text.len)
    abort();
  if (submit_recipient_fields(text.s + p.header_at, p.header_len, see_field, NULL) != 0 ||
      submit_header(&head, text.s + p.header_at, p.header_len, &o) != 0)
    abort();
  content_start(&c);
  content_scan(&c, head.s, head.len);
  if (c.in_header || c.header_size != head.len)
    abort();
  content_scan(&c, text.s + p.body_at, text.len - p.body_at);
  content_end(&c);
  if (c.has_nul || c.has_bare_cr || c.has_bare_lf || !c.ends_line)
    abort();
  stralloc_free(&text);
  stralloc_free(&head);
  return 0;
}
