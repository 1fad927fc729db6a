# `server PORT FILE`: gives the token in the file to whoever shows ann's password or her identity token.
use strict;
use IO::Socket::INET;
my ($port, $file) = @ARGV;
open(my $token, "<", $file) or die "$file: $!";
my $granted = sprintf '{"token":"%s","access_token":"%1$s","refresh_token":"identity"}', <$token>;
my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port", Listen => 9, ReuseAddr => 1) or die "listen: $!";
while (my $client = $server->accept) {
    my ($line, %header) = scalar <$client>;
    while (defined(my $next = <$client>)) { last unless $next =~ /^([^:]+): *(.*?)\r?$/; $header{lc $1} = $2 }
    read($client, my $body, $header{"content-length"} // 0);
    my $is_known = $line =~ /^POST/ ? $body =~ /refresh_token=identity(&|$)/
                                    : ($header{authorization} // "") eq "Basic YW5uOnNlY3JldA==";
    my ($status, $answer) = $is_known ? ("200 OK", $granted) : ("401 Unauthorized", "{}");
    printf $client "HTTP/1.1 %s\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", $status, length $answer, $answer;
    close $client;
}
