"""What several tests share: small releases, tiny models, servers, homes with a champion."""
