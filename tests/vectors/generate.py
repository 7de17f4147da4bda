"""Prints the frames of scapy.txt. Scapy is an implementation of its own.

Run in this directory: /usr/bin/python3 generate.py > scapy.txt
"""

import scapy
from scapy.layers.inet import IP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vrrp import VRRP, VRRPv3

MAC = "02:00:00:00:00:02"
VIP = "10.77.0.100"
VIP6 = "2001:db8::100"


def ipv4(message, ttl=255):
    ether = Ether(src=MAC, dst="01:00:5e:00:00:12")
    return ether / IP(src="10.77.0.2", dst="224.0.0.18", ttl=ttl, proto=112, id=1) / message


def ipv6(message):
    ether = Ether(src=MAC, dst="33:33:00:00:00:12")
    return ether / IPv6(src="fe80::2", dst="ff02::12", hlim=255, nh=112) / message


def neighbour(router):
    ether = Ether(src=MAC, dst="33:33:00:00:00:01")
    advertisement = ICMPv6ND_NA(R=router, S=0, O=1, tgt=VIP6)
    option = ICMPv6NDOptDstLLAddr(lladdr=MAC)
    return ether / IPv6(src=VIP6, dst="ff02::1", hlim=255) / advertisement / option


FRAMES = {
    "v2": ipv4(VRRP(vrid=51, priority=150, adv=1, addrlist=[VIP])),
    "v2-password": ipv4(
        VRRP(vrid=51, priority=150, authtype=1, adv=3, addrlist=[VIP, "10.77.0.101"],
             auth1=0x73656372, auth2=0x65740000)
    ),
    "v3-ipv4": ipv4(VRRPv3(vrid=51, priority=150, adv=10, addrlist=[VIP])),
    "v3-ipv4-release": ipv4(VRRPv3(vrid=51, priority=0, adv=4095, addrlist=[VIP, "10.77.0.101"])),
    "v3-ipv6": ipv6(VRRPv3(vrid=51, priority=150, adv=10, addrlist=["fe80::100", VIP6])),
    "gratuitous-arp": Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff")
    / ARP(op=1, hwsrc=MAC, psrc=VIP, hwdst="00:00:00:00:00:00", pdst=VIP),
    "advertisement-router": neighbour(1),
    "advertisement-host": neighbour(0),
}

print("# Whole Ethernet frames made by scapy", scapy.__version__)
print("# with: /usr/bin/python3 generate.py > scapy.txt")
print("# Each is: name, then the frame in hexadecimal, not padded.")
for name, frame in FRAMES.items():
    print(name, bytes(frame).hex())
