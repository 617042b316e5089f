/* authlimit.c - who has failed to log in, how often and how lately
 *
 * Runs in heloise-auth. What is counted comes from hostile clients: hashes are keyed with
 * bytes they cannot know. */
#include "smtpd/authlimit.h"

#include <stddef.h>
#include <string.h>
#include <sys/random.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "common/sasl.h"

#define WAYS 8
#define SETS 4096 /* of WAYS counts: half a megabyte */

enum kind { NETWORK, LOGIN, PAIR, KNOWN };

struct count {
  uint64_t key;   /* 0: free */
  uint64_t since; /* the first failure, or the last success */
  uint32_t n;
  enum kind kind;
};

static struct count counts[SETS][WAYS];

static uint64_t seed(void)
{
  static uint64_t s;

  if (s == 0 && (getrandom(&s, sizeof s, 0) != (ssize_t)sizeof s || s == 0))
    s = (uint64_t)(uintptr_t)&s | 1;
  return s;
}

static uint64_t key_of(enum kind kind, const struct ip *ip, const char *login)
{
  unsigned char bytes[1 + sizeof ip->bytes + 1 + SASL_LOGIN_MAX] = {(unsigned char)kind};
  struct ip net = ip_mask(ip, ip->family == 6 ? 64 : 32);
  size_t n = 2 + sizeof net.bytes, len;
  uint64_t key;

  if (kind != LOGIN) {
    bytes[1] = net.family;
    memcpy(bytes + 2, net.bytes, sizeof net.bytes);
  }
  if (kind != NETWORK) {
    len = strnlen(login, SASL_LOGIN_MAX);
    memcpy(bytes + n, login, len);
    n += len;
  }
  key = XXH3_64bits_withSeed(bytes, n, seed());
  return key ? key : 1;
}

static int is_over(const struct count *c, uint64_t now)
{
  return c->key == 0 || now - c->since >= (c->kind == KNOWN ? AUTHLIMIT_KNOWN : AUTHLIMIT_WINDOW);
}

static struct count *find(uint64_t key, uint64_t now)
{
  struct count *set = counts[key % SETS];

  for (size_t i = 0; i < WAYS; i++)
    if (set[i].key == key)
      return is_over(&set[i], now) ? NULL : &set[i];
  return NULL;
}

/* what may best be forgotten: what is over, then the smallest count, then the oldest. Whom we
 * know is worth keeping: a flood of failures must not make us forget. */
static int is_less_worth(const struct count *a, const struct count *b, uint64_t now)
{
  if (is_over(a, now) != is_over(b, now))
    return is_over(a, now);
  if ((a->kind == KNOWN) != (b->kind == KNOWN))
    return b->kind == KNOWN;
  return a->n != b->n ? a->n < b->n : a->since < b->since;
}

static struct count *make(enum kind kind, uint64_t key, uint64_t now)
{
  struct count *set = counts[key % SETS], *worst = set;

  for (size_t i = 0; i < WAYS; i++) {
    if (set[i].key == key) {
      worst = &set[i];
      break;
    }
    if (is_less_worth(&set[i], worst, now))
      worst = &set[i];
  }
  *worst = (struct count){.key = key, .since = now, .kind = kind};
  return worst;
}

static unsigned int number(enum kind kind, const struct ip *ip, const char *login, uint64_t now)
{
  const struct count *c = find(key_of(kind, ip, login), now);

  return c ? c->n : 0;
}

static unsigned int add(enum kind kind, const struct ip *ip, const char *login, uint64_t now)
{
  uint64_t key = key_of(kind, ip, login);
  struct count *c = find(key, now);

  if (!c)
    c = make(kind, key, now);
  return c->n < UINT32_MAX ? ++c->n : c->n;
}

const char *authlimit_blocks(const struct ip *ip, const char *login, uint64_t limit, uint64_t now)
{
  if (number(PAIR, ip, login, now) >= limit)
    return "this login failed too often from there";
  if (find(key_of(KNOWN, ip, login), now))
    return NULL;
  if (number(NETWORK, ip, NULL, now) >= limit)
    return "too many failures from there";
  if (number(LOGIN, ip, login, now) >= limit)
    return "this login failed too often";
  return NULL;
}

unsigned int authlimit_failed(const struct ip *ip, const char *login, uint64_t now)
{
  add(LOGIN, ip, login, now);
  add(PAIR, ip, login, now);
  return add(NETWORK, ip, NULL, now);
}

unsigned int authlimit_failures(const struct ip *ip, uint64_t now)
{
  return number(NETWORK, ip, NULL, now);
}

void authlimit_passed(const struct ip *ip, const char *login, uint64_t now)
{
  make(KNOWN, key_of(KNOWN, ip, login), now);
}
