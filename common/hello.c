/* hello.c - names in greetings: what a client may say, what we say ourselves. Pure.
 *
 * hello_judge() gets hostile bytes. LADDER.md 4; RFC 5321 4.1.1.1, 4.1.2, 4.1.3:
 *
 *   Domain          = sub-domain *( "." sub-domain )
 *   sub-domain      = Let-dig [ *( ALPHA / DIGIT / "-" ) Let-dig ]
 *   address-literal = "[" ( IPv4 / "IPv6:" IPv6-addr / tag ":" 1*dcontent ) "]" */
#include "common/hello.h"

#include <string.h>
#include <strings.h>

#include "common/ip.h"

#define NAME_MAX_BYTES 255 /* RFC 5321 4.5.3.1.2 */
#define LABEL_MAX 63

int hello_policy_read(const char *s, size_t len, enum hello_policy *p)
{
  static const char *const words[] = {"junk", "normal", "strict"};

  for (size_t i = 0; i < 3; i++)
    if (strlen(words[i]) == len && memcmp(words[i], s, len) == 0) {
      *p = (enum hello_policy)i;
      return 0;
    }
  return -1;
}

static int is_digit(char c)
{
  return c >= '0' && c <= '9';
}

static int is_let_dig(char c)
{
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int is_label(const char *s, size_t len)
{
  if (len == 0 || len > LABEL_MAX || !is_let_dig(s[0]) || !is_let_dig(s[len - 1]))
    return 0;
  for (size_t i = 0; i < len; i++)
    if (!is_let_dig(s[i]) && s[i] != '-')
      return 0;
  return 1;
}

/* Domain of the grammar; the number of its labels, or 0 */
static int count_labels(const char *s, size_t len)
{
  int n = 0;

  for (;;) {
    const char *dot = memchr(s, '.', len);
    size_t label = dot ? (size_t)(dot - s) : len;
    if (!is_label(s, label))
      return 0;
    n++;
    if (!dot)
      return n;
    s += label + 1;
    len -= label + 1;
  }
}

static int is_word(const char *s, size_t len, const char *word)
{
  return strlen(word) == len && strncasecmp(s, word, len) == 0;
}

int hello_is_fqdn(const char *s, size_t len)
{
  size_t i = len;

  if (len > 253 || count_labels(s, len) < 2 || is_word(s, len, "localhost.localdomain"))
    return 0;
  while (i > 0 && is_digit(s[i - 1]))
    i--;
  return s[i - 1] != '.' || i == len; /* a last label of digits only is an address */
}

/* "[" content "]" with a tag other than IPv6: tag ":" 1*dcontent */
static int is_tagged(const char *s, size_t len)
{
  const char *colon = memchr(s, ':', len);
  size_t tag = colon ? (size_t)(colon - s) : 0;

  if (tag == 0 || tag + 1 == len || !is_label(s, tag))
    return 0;
  for (size_t i = tag + 1; i < len; i++)
    if (s[i] < 33 || s[i] > 126 || strchr("[\\]", s[i]))
      return 0;
  return 1;
}

static int put_literal(stralloc *name, const struct ip *ip)
{
  char text[IP_TEXT];

  ip_format(text, ip);
  return stralloc_copys(name, ip->family == 6 ? "[IPv6:" : "[") && stralloc_cats(name, text) &&
         stralloc_cats(name, "]");
}

/* h->name begins with "[": canonical form where it is an address; else as it was said */
static int judge_literal(struct hello *h)
{
  const char *s = h->name.s + 1;
  size_t len = h->name.len - 2;
  size_t tag;
  struct ip ip;

  h->kind = HELLO_LITERAL;
  if (h->name.len < 3 || s[len] != ']') {
    h->is_malformed = 1;
    return 1;
  }
  tag = len > 5 && strncasecmp(s, "IPv6:", 5) == 0 ? 5 : 0;
  if (ip_parse(s + tag, len - tag, &ip) == 0) {
    int has_colon = memchr(s + tag, ':', len - tag) != NULL;
    if (has_colon != (tag > 0))
      h->is_malformed = h->is_changed = 1; /* an address with the other family's tag */
    return put_literal(&h->name, &ip);
  }
  if (tag > 0 || !is_tagged(s, len))
    h->is_malformed = 1;
  return 1;
}

static int judge_name(struct hello *h)
{
  size_t len = h->name.len;
  struct ip ip;

  if (ip_parse(h->name.s, len, &ip) == 0) {
    h->kind = HELLO_LITERAL;
    h->is_changed = 1;
    if (memchr(h->name.s, ':', len))
      h->is_malformed = 1;
    return put_literal(&h->name, &ip);
  }
  if (len > 1 && h->name.s[len - 1] == '.') {
    h->is_malformed = h->is_changed = 1;
    h->name.len = --len;
  }
  h->kind = memchr(h->name.s, '.', len) ? HELLO_NAME : HELLO_HOST_ONLY;
  if (count_labels(h->name.s, len) == 0)
    h->is_malformed = 1;
  return 1;
}

/* the first word of s, lower case, bytes that do not print replaced */
static int take_word(struct hello *h, const char *s, size_t len)
{
  size_t word = 0;

  while (word < len && s[word] != ' ' && s[word] != '\t')
    word++;
  if (word < len)
    h->is_malformed = h->is_changed = 1;
  if (!stralloc_copyb(&h->name, s, word))
    return 0;
  for (size_t i = 0; i < word; i++) {
    char *c = &h->name.s[i];
    if (*c <= 32 || *c == 127) {
      *c = '?';
      h->is_malformed = h->is_changed = 1;
    } else if (*c >= 'A' && *c <= 'Z') {
      *c = (char)(*c + 32);
    }
  }
  return 1;
}

static int has_control(const char *s, size_t len)
{
  for (size_t i = 0; i < len; i++)
    if (((unsigned char)s[i] < 32 && s[i] != '\t') || s[i] == 127)
      return 1;
  return 0;
}

static void trim(const char **s, size_t *len)
{
  while (*len > 0 && (**s == ' ' || **s == '\t')) {
    (*s)++;
    (*len)--;
  }
  while (*len > 0 && ((*s)[*len - 1] == ' ' || (*s)[*len - 1] == '\t'))
    (*len)--;
}

/* HELLO_JUNK takes anything: what is missing or too long is only marked */
static int refuse(const char *s, size_t len, enum hello_policy policy, const char **why)
{
  if (policy == HELLO_JUNK)
    return 0;
  if (len == 0)
    *why = "missing";
  else if (len > NAME_MAX_BYTES)
    *why = "longer than 255 bytes";
  else if (has_control(s, len))
    *why = "control bytes";
  else
    return 0;
  return -1;
}

int hello_judge(const char *arg, size_t len, enum hello_policy policy, struct hello *h,
                const char **why)
{
  trim(&arg, &len);
  h->kind = HELLO_NAME;
  h->is_malformed = h->is_changed = 0;
  h->name.len = 0;
  if (refuse(arg, len, policy, why) != 0)
    return -1;
  *why = "out of memory";
  if (len > NAME_MAX_BYTES) {
    len = NAME_MAX_BYTES;
    h->is_malformed = h->is_changed = 1;
  }
  if (!take_word(h, arg, len))
    return -1;
  if (h->name.len == 0)
    h->is_malformed = h->is_changed = 1;
  else if (!(h->name.s[0] == '[' ? judge_literal(h) : judge_name(h)))
    return -1;
  *why = "expected a host name such as mail.example.org, or an address such as [192.0.2.1]";
  return policy == HELLO_STRICT && h->is_malformed ? -1 : 0;
}

int hello_complete(struct hello *h, const char *domain)
{
  size_t len = strlen(domain);

  if (h->kind != HELLO_HOST_ONLY || len == 0 || h->name.len + 1 + len > NAME_MAX_BYTES ||
      count_labels(h->name.s, h->name.len) == 0)
    return 0;
  if (!stralloc_cats(&h->name, ".") || !stralloc_catb(&h->name, domain, len))
    return -1;
  h->kind = HELLO_NAME;
  h->is_changed = 1;
  return 1;
}
