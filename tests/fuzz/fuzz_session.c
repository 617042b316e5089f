/* fuzz_session.c - a whole session: the first byte chooses the client, how bytes arrive, and the
 * service. What is committed is lines, and every message that is opened has an end. */
#include <stdint.h>
#include <stdlib.h>

#include "common/log.h"
#include "tests/unit/smtpsession.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char *const tables[][3] = {
  {"settings", "hostname", "mx.example.org"},
  {"settings", "domain", "example.org"},
  {"settings", "message-size-limit", "10k"},
  {"settings", "header-size-limit", "2k"},
  {"settings", "line-length-limit", "2000"},
  {"settings", "received-limit", "5"},
  {"settings", "xclient-networks", "2001:db8::/32"},
  {"domains", "example.org", "local"},
  {"access", "client:192.0.2.0/24", "relay"},
  {"settings", "bare-lf-from", "203.0.113.0/24"},
  {"access", "client:203.0.113.0/24", "helo=junk"},
  {NULL, NULL, NULL},
};

/* the log of hostile sessions is long: here it goes nowhere */
void log_write(const char *event, const struct log_field *f, size_t n)
{
  (void)event;
  (void)f;
  (void)n;
}

const char *log_num(uint64_t v)
{
  (void)v;
  return "";
}

static void prepare(void)
{
  const char *bad;

  fake.table = fake_tables(tables);
  if (!fake.table || settings_load(fake.table, &bad) != 0)
    abort();
}

/* every line is a reply: three digits, space or hyphen, printable text, CR LF */
static void check_output(const stralloc *out)
{
  size_t at = 0;

  while (at < out->len) {
    const char *line = out->s + at, *end = memchr(line, '\n', out->len - at);
    if (!end || end - line < 5 || end - line > 511 || end[-1] != '\r' ||
        (line[3] != ' ' && line[3] != '-'))
      abort();
    for (const char *c = line; c < end - 1; c++)
      if (*c < 32 || *c > 126)
        abort();
    at += (size_t)(end - line) + 1;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  static const char *const clients[] = {"192.0.2.1", "203.0.113.1", "2001:db8::1"};
  struct session s;
  struct ip ip;
  size_t pieces[] = {100000, 1, 7, 100};
  const char *client;

  if (!fake.table)
    prepare();
  if (len == 0)
    return 0;
  client = clients[data[0] % 3];
  ip_parse(client, strlen(client), &ip);
  fake.has_tls = 1;
  fake.mechanisms = MECHANISMS_ALL;
  session_start(&s, &fake_world, service_row((enum service_number)(data[0] / 12 % SERVICE_COUNT)), &ip, 25);
  s.tls.is_on = (data[0] & 128) != 0;
  fake_feed(&s, (const char *)data + 1, len - 1, pieces[data[0] / 3 % 4]);
  check_output(&s.out);
  session_close(&s);
  if (fake.unclean || fake.opened != fake.committed + fake.aborted)
    abort();
  stralloc_free(&fake.message);
  stralloc_free(&fake.asked);
  stralloc_free(&fake.secret);
  fake = (struct fake){.table = fake.table};
  return 0;
}
