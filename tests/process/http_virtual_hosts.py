#!/usr/bin/python3
"""Virtual hosts on a real nginx: routes, groups and rules of one host, of those below one, and of any; a host is the same however it
is spelled."""
import weirtest

HOSTS = [{"kind": "route", "name": "shop", "pattern": "/**", "host": "shop.example.com"},
         {"kind": "route", "name": "any-shop", "pattern": "/**", "host": "*.shop.example.com"},
         {"kind": "route", "name": "family", "pattern": "/**", "host": "*.example.com"},
         {"kind": "route", "pattern": "/cart/{id}", "method": "GET", "host": "de.example.org"},
         {"kind": "route", "name": "six", "pattern": "/cart", "host": "[2001:db8::1]"},
         {"kind": "route", "name": "cart", "pattern": "/cart"},
         {"kind": "api", "name": "group", "host": "*.example.com", "predicateItems": [{"pattern": "/cart"}]}]
NAMES = ("shop", "any-shop", "family", "GET:http://de.example.org/cart/{id}", "cart", "six", "group")
# what counts for which of these: host, target, names
CASES = (
    ("shop.example.com", "/cart", {"shop", "group"}), ("SHOP.Example.COM", "/cart", {"shop", "group"}), ("shop.example.com.", "/cart", {"shop", "group"}),
    ("shop.example.com:8080", "/cart", {"shop", "group"}), ("shop.example.com.:80", "/x", {"shop"}),
    ("de.shop.example.com", "/cart", {"any-shop", "group"}), ("a.b.shop.example.com", "/x", {"any-shop"}),
    ("www.example.com", "/cart", {"family", "group"}), ("example.com", "/cart", {"cart"}), ("badexample.com", "/cart", {"cart"}),
    ("de.example.org", "/cart/7", {"GET:http://de.example.org/cart/{id}"}), ("de.example.org", "/cart", {"cart"}), ("other", "/cart/7", set()),
    ("[2001:db8::1]", "/cart", {"six"}), ("[2001:DB8::1]:443", "/cart", {"six"}),
    # Some servers go by the target's host, some by the header's: it counts for both.
    ("other", "http://shop.example.com/cart", {"shop", "group", "cart"}), ("shop.example.com", "http://other:80/cart", {"cart", "shop", "group"}),
    ("shop.example.com:80", "http://Shop.example.com/cart", {"shop", "group"}), ("shop.example.com:8x", "/cart", {"shop", "group"}),
)


def routes_of_hosts():
    with weirtest.Sandbox() as box:
        rules = box.rules({})
        server = box.serve("nginx", rules)
        for name in NAMES:
            box.edit(rules, {"resources": HOSTS, "flow": [{"resource": name, "count": 0}]})
            for host, target, names in CASES * 2:  # found, and remembered
                status = weirtest.ask(server.address, target=target, host=host).status
                assert (status == 429) == (name in names), (name, host, target, status)


def rules_of_hosts():
    """Without a word in `resources`: a rule's resource may name the host."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [{"resource": "GET:http://Shop.example.com/cart", "count": 0}, {"resource": "GET:http://shop.example.com/item/{id}", "count": 0},
                                    {"resource": "GET:/both", "count": 0}]})
        server = box.serve("nginx", rules)
        for host, target, blocked in (("shop.example.com", "/cart", True), ("shop.example.com:8080", "/%63art?x", True), ("www.example.com", "/cart", False),
                                      ("shop.example.com", "/item/x", True), ("www.example.com", "/item/x", False), ("shop.example.com", "/both", True),
                                      ("SHOP.example.com", "/item/7", True), ("shop.example.com", "/other", False)):
            for _ in range(2):
                status = weirtest.ask(server.address, target=target, host=host).status
                assert (status == 429) == blocked, (host, target, status)


weirtest.main(routes_of_hosts, rules_of_hosts)
