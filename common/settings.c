/* settings.c - the settings in force, typed */
#include "common/settings.h"

#include <stdlib.h>
#include <string.h>

#include "common/eightbit.h"
#include "common/hello.h"
#include "common/ip.h"
#include "common/sasl.h"
#include "common/units.h"

struct settings settings;

/* ---- one checker per type: 0, or -1; numbers in *n */

static int check_text(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  (void)n;
  return len < s->min || len > s->max || memchr(v, 0, len) || memchr(v, '\n', len) ? -1 : 0;
}

static int check_fqdn(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  (void)n;
  return len == 0 && s->min == 0 ? 0 : hello_is_fqdn(v, len) ? 0 : -1;
}

static int check_address(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)v[i] <= 32 || (unsigned char)v[i] >= 127 || strchr("<>()\\\",;:", v[i]))
      return -1;
  return check_text(s, v, len, n);
}

static int check_yesno(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  (void)s;
  *n = len == 3 && memcmp(v, "yes", 3) == 0;
  return *n || (len == 2 && memcmp(v, "no", 2) == 0) ? 0 : -1;
}

static int in_bounds(const struct setting *s, uint64_t n)
{
  return n >= s->min && n <= s->max ? 0 : -1;
}

static int check_number(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  return units_number(v, len, n) == 0 ? in_bounds(s, *n) : -1;
}

static int check_size(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  return units_size(v, len, n) == 0 ? in_bounds(s, *n) : -1;
}

static int check_duration(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  return units_duration_ms(v, len, n) == 0 ? in_bounds(s, *n) : -1;
}

static int check_server(const char *v, size_t len)
{
  const char *at = memchr(v, '@', len);
  size_t addr = at ? (size_t)(at - v) : len;
  int has_brackets = addr > 2 && v[0] == '[' && v[addr - 1] == ']';
  struct ip ip;
  uint64_t port = 53;

  if (at && units_number(at + 1, len - addr - 1, &port) != 0)
    return -1;
  if (has_brackets) {
    v++;
    addr -= 2;
  }
  return port > 0 && port <= 65535 ? ip_parse(v, addr, &ip) : -1;
}

static int check_servers(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  size_t i = 0;

  while (i < len) {
    size_t word = 0;
    while (i + word < len && v[i + word] != ' ' && v[i + word] != '\t')
      word++;
    if (word > 0 && check_server(v + i, word) != 0)
      return -1;
    i += word + 1;
  }
  return check_text(s, v, len, n);
}

static int check_mailbox(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  if (len < 2 || v[0] == '/' || v[len - 1] != '/' || memmem(v, len, "..", 2))
    return -1;
  return check_text(s, v, len, n);
}

static int check_helopolicy(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  enum hello_policy p;

  (void)s;
  (void)n;
  return hello_policy_read(v, len, &p);
}

static int check_tlshistory(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  (void)s;
  (void)n;
  return (len == 5 && memcmp(v, "defer", 5) == 0) || (len == 4 && memcmp(v, "warn", 4) == 0) ? 0
                                                                                          : -1;
}

static int check_eightbitsigned(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  enum eightbit_policy p;

  (void)s;
  (void)n;
  return eightbit_policy_read(v, len, &p);
}

static int check_backends(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  enum backend_name list[BACKEND_COUNT];
  size_t many;

  (void)s;
  (void)n;
  return backends_read(v, len, list, &many);
}

static int check_mechanisms(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  unsigned int set;

  (void)s;
  (void)n;
  return mechanisms_read(v, len, &set);
}

static int check_authinclear(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  (void)s;
  (void)n;
  return (len == 2 && memcmp(v, "no", 2) == 0) || (len == 8 && memcmp(v, "loopback", 8) == 0) ? 0
                                                                                           : -1;
}

/* octal, as chmod(1) takes it */
static int check_mode(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  (void)s;
  *n = 0;
  for (size_t i = 0; i < len; i++) {
    if (v[i] < '0' || v[i] > '7')
      return -1;
    *n = *n * 8 + (uint64_t)(v[i] - '0');
  }
  return len >= 3 && len <= 4 && *n <= 0777 ? 0 : -1;
}

static int check_networks(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  return ip_list_check(v, len) == 0 ? check_text(s, v, len, n) : -1;
}

static int check_rate(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  uint64_t count, ms;

  (void)s;
  (void)n;
  return len == 0 ? 0 : units_rate(v, len, &count, &ms);
}

static int check_earlytalker(const struct setting *s, const char *v, size_t len, uint64_t *n)
{
  static const char *const words[] = {"reject", "score", "off"};

  (void)s;
  (void)n;
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strlen(words[i]) == len && memcmp(words[i], v, len) == 0)
      return 0;
  return -1;
}

static const struct type {
  const char *name, *expected;
  int (*check)(const struct setting *s, const char *v, size_t len, uint64_t *n);
  int has_bounds; /* min and max are part of the message */
} types[] = {
  {"TEXT", "text", check_text, 0},
  {"FQDN", "a full domain name such as mail.example.org", check_fqdn, 0},
  {"ADDRESS", "a mail address or a local part", check_address, 0},
  {"YESNO", "yes or no", check_yesno, 0},
  {"NUMBER", "a number", check_number, 1},
  {"SIZE", "a size such as 500k, 50m or 2g", check_size, 1},
  {"DURATION", "a duration such as 500ms, 30s, 5m or 4h", check_duration, 1},
  {"SERVERS", "addresses such as 192.0.2.53, 192.0.2.53@54 or [2001:db8::53]@54", check_servers, 0},
  {"MAILBOX", "a path under the home directory that ends with a slash, such as Maildir/", check_mailbox, 0},
  {"HELOPOLICY", "junk, normal or strict", check_helopolicy, 0},
  {"TLSHISTORY", "defer or warn", check_tlshistory, 0},
  {"BACKENDS", "users, pam and dovecot, those that are to be asked, in their order", check_backends, 0},
  {"MECHANISMS", "SCRAM-SHA-256-PLUS, SCRAM-SHA-256, PLAIN and LOGIN, those that are to be offered", check_mechanisms, 0},
  {"AUTHINCLEAR", "no or loopback", check_authinclear, 0},
  {"EIGHTBITSIGNED", "other-mx, convert, send or bounce", check_eightbitsigned, 0},
  {"RATE", "so many in a time, such as 100/1m; 1 to 1000000 in 1s to 1d, or nothing", check_rate, 0},
  {"EARLYTALKER", "reject, score or off", check_earlytalker, 0},
  {"NETWORKS", "networks such as 192.0.2.0/24 2001:db8::/32, an address for one host; bits after the mask are 0", check_networks, 0},
  {"MODE", "a file mode in octal, such as 0660", check_mode, 0},
};

static const struct setting rows[] = {
#define SETTING(field, name, type, value, min, max, help) {name, #type, value, help, min, max},
#include "common/settings.def"
#undef SETTING
};

static const struct type *type_of(const struct setting *s)
{
  const struct type *t = types;

  while (strcmp(t->name, s->type) != 0)
    t++;
  return t;
}

size_t settings_count(void)
{
  return sizeof rows / sizeof *rows;
}

const struct setting *settings_row(size_t i)
{
  return &rows[i];
}

const struct setting *settings_find(const char *name, size_t len)
{
  for (size_t i = 0; i < settings_count(); i++)
    if (strlen(rows[i].name) == len && memcmp(rows[i].name, name, len) == 0)
      return &rows[i];
  return NULL;
}

/* "4 to 100", in the unit of the setting's type */
static int cat_bounds(stralloc *out, const struct setting *s)
{
  uint64_t bound[2] = {s->min, s->max};

  for (int i = 0; i < 2; i++) {
    if (i && !stralloc_cats(out, " to "))
      return -1;
    if (strcmp(s->type, "DURATION") != 0) {
      if (units_format_number(out, bound[i]) != 0)
        return -1;
    } else if (bound[i] % 1000) {
      if (units_format_number(out, bound[i]) != 0 || !stralloc_cats(out, "ms"))
        return -1;
    } else if (units_format_duration(out, bound[i] / 1000) != 0) {
      return -1;
    }
  }
  return 0;
}

int settings_check(const struct setting *s, const char *value, size_t len, stralloc *why)
{
  const struct type *t = type_of(s);
  uint64_t n = 0;

  if (t->check(s, value, len, &n) == 0)
    return 0;
  if (stralloc_copys(why, s->name) && stralloc_cats(why, ": expected ") &&
      stralloc_cats(why, t->expected) && t->has_bounds && stralloc_cats(why, ", "))
    cat_bounds(why, s);
  return -1;
}

/* the value in force for row s: from the tables, else its default, else empty */
static struct table_value value_of(const struct table *t, const struct setting *s)
{
  struct table_value v;

  if (!table_get(t, "settings", s->name, strlen(s->name), &v)) {
    v.s = s->value ? s->value : "";
    v.len = strlen(v.s);
  }
  return v;
}

/* how a checked value becomes a field: texts are copied and live until the next load */
static int set_text(const char **field, const struct table_value *v, uint64_t n)
{
  (void)n;
  *field = strdup(v->s);
  return *field ? 0 : -1;
}

static int set_number(uint64_t *field, const struct table_value *v, uint64_t n)
{
  (void)v;
  *field = n;
  return 0;
}

static void free_text(const char **field)
{
  free((void *)(uintptr_t)*field);
}

static void free_number(uint64_t *field)
{
  *field = 0;
}

static void free_all(struct settings *s)
{
#define SETTING(field, title, type, value, least, most, help) \
  _Generic(s->field, uint64_t: free_number, const char *: free_text)(&s->field);
#include "common/settings.def"
#undef SETTING
}

int settings_load(const struct table *t, const char **bad)
{
  static int loaded;
  struct settings fresh = {0};
  const struct setting *row = rows;
  uint64_t n;
  struct table_value v;

#define SETTING(field, title, type, value, least, most, help) \
  n = 0; \
  *bad = row->name; \
  v = value_of(t, row); \
  if (type_of(row)->check(row, v.s, v.len, &n) != 0 || \
      _Generic(fresh.field, uint64_t: set_number, const char *: set_text)(&fresh.field, &v, n)) \
    goto fail; \
  row++;
#include "common/settings.def"
#undef SETTING
  if (loaded)
    free_all(&settings);
  settings = fresh;
  loaded = 1;
  return 0;
fail:
  free_all(&fresh);
  return -1;
}
